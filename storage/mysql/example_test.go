package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/mysql"
)

// Any number of nodes open the same database; the first one makes its tables.
func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	key, err := os.ReadFile("/run/credentials/enroll.key") // 32 random bytes
	if err != nil {
		log.Fatal(err)
	}
	s, err := mysql.Open(ctx, mysql.Options{
		DSN:  os.Getenv("ENROLL_DSN"), // such as "enroll:password@tcp(db.example.com:3306)/enroll?tls=true"
		Keys: [][]byte{key},
	})
	var newer *storage.SchemaError
	var unfit *mysql.ServerError
	switch {
	case errors.As(err, &newer):
		log.Fatalf("this program is too old for the database: %v", err)
	case errors.As(err, &unfit):
		log.Fatalf("%s has to be %s", unfit.Setting, unfit.Need)
	case err != nil:
		log.Fatal(err)
	}
	defer s.Close()
	if n, err := s.Devices(ctx, "user-1"); err == nil {
		fmt.Println(n, "devices")
	}
}
