// Package push wakes devices through the Apple Push Notification service.
package push
