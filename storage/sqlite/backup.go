package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Backup copies the database to a file at path, for its owner only, while steps go
// on: it has everything that was acknowledged before the call, and nothing waits
// for it. The file is there when it is whole and on the disk, or not at all; its
// directory must exist, and what is at path is not written over (fs.ErrExist).
//
// The file is a database of its own, as secret as this one and sealed with the same
// keys, which are not in it. Open opens it, and Restore puts it in the place of a
// database that was lost. Until the end, its name begins with a dot; such files of
// a process that was killed can be removed.
func (s *Store) Backup(ctx context.Context, path string) error {
	if err := s.backup(ctx, path); err != nil {
		return fmt.Errorf("sqlite: backup to %s: %w", path, err)
	}
	return nil
}

func (s *Store) backup(ctx context.Context, path string) error {
	return appear(path, func(temporary string) error {
		var source string
		if _, err := s.readers.tx(ctx).get(`SELECT file FROM pragma_database_list WHERE name = 'main'`, nil, &source); err != nil {
			return err
		}
		db, err := connect(source, Options{BusyTimeout: 5 * time.Second}, 1, "")
		if err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, `VACUUM INTO ?`, temporary)
		return errors.Join(err, db.Close())
	})
}

// Restore copies a file that Backup made to path, where no database may be, nor
// what SQLite keeps beside one: move the old one away with its -wal and -shm files
// first (fs.ErrExist). The backup is checked before, and stays as it is. Open then
// opens the database at path.
func Restore(ctx context.Context, backup, path string) error {
	if err := restore(ctx, backup, path); err != nil {
		return fmt.Errorf("sqlite: restore %s from %s: %w", path, backup, err)
	}
	return nil
}

func restore(ctx context.Context, backup, path string) error {
	for _, beside := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(backup + beside); err == nil && info.Size() > 0 {
			return fmt.Errorf("%s is there: the backup has been opened since it was made, open and close it again", backup+beside)
		}
	}
	if err := check(ctx, backup); err != nil {
		return err
	}
	for _, beside := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(path + beside); err == nil {
			return fmt.Errorf("%s: %w", path+beside, fs.ErrExist)
		}
	}
	return appear(path, func(temporary string) error {
		from, err := os.Open(backup)
		if err != nil {
			return err
		}
		into, err := os.OpenFile(temporary, os.O_WRONLY, 0o600)
		if err != nil {
			return errors.Join(err, from.Close())
		}
		_, err = io.Copy(into, from)
		return errors.Join(err, into.Close(), from.Close())
	})
}

// check reads the whole of a database that nobody has open.
func check(ctx context.Context, path string) (err error) {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	db, err := connect(path, Options{}, 1, "mode=ro&immutable=1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var found string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("the backup is damaged: %s", found)
	}
	var version int64
	if err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM `+versionTable).Scan(&version); err != nil {
		return fmt.Errorf("it is no database of this package: %w", err)
	}
	return nil
}

// appear has fill write a file that is there under its name when it is on the disk.
func appear(path string, fill func(temporary string) error) error {
	if path == "" {
		return errors.New("no path")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), fill(f.Name())); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := syncPath(f.Name()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncPath(filepath.Dir(path)) // which has the name
}

// syncPath returns when a file or a directory is on the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
