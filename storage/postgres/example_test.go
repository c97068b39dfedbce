package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/postgres"
)

// Any number of nodes open the same database; the first one makes its tables.
func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	key, err := os.ReadFile("/run/credentials/enroll.key") // 32 random bytes
	if err != nil {
		log.Fatal(err)
	}
	s, err := postgres.Open(ctx, postgres.Options{
		DSN:  os.Getenv("ENROLL_DSN"), // such as "postgres://enroll@db.example.com/enroll?sslmode=verify-full"
		Keys: [][]byte{key},
	})
	var newer *storage.SchemaError
	switch {
	case errors.As(err, &newer):
		log.Fatalf("this program is too old for the database: %v", err)
	case errors.Is(err, storage.ErrKey):
		log.Fatalf("the database was sealed with other keys: %v", err)
	case err != nil:
		log.Fatal(err)
	}
	defer s.Close()
	if n, err := s.Devices(ctx, "user-1"); err == nil {
		fmt.Println(n, "devices")
	}
}
