// Package mysql keeps everything in MySQL 8 or MariaDB (10.6 or later), for any
// number of stateless nodes.
package mysql
