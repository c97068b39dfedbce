package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// connector opens connections that prepare each statement once and keep it: the
// driver alone would prepare it each time, or put the values into its text.
type connector struct {
	driver.Connector
	// session are statements that a new connection begins with.
	session []string
	// trace is called before each statement; nil is not.
	trace tracer
}

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := inner.(fullConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's connection is a %T and lacks a method", inner), inner.Close())
	}
	for _, statement := range c.session {
		if _, err := full.ExecContext(ctx, statement, nil); err != nil {
			return nil, errors.Join(err, inner.Close())
		}
	}
	return &conn{fullConn: full, statements: map[string]driver.Stmt{}, trace: c.trace}, nil
}

// tracer looks at a statement that a connection is about to run.
type tracer func(ctx context.Context, c fullConn, query string, values []driver.NamedValue)

// fullConn is what the driver's connection can do.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// conn is a connection with the statements that it has prepared. One call at a
// time uses it.
type conn struct {
	fullConn
	statements map[string]driver.Stmt
	trace      tracer
	// readOnly: the server takes no changes, and perhaps another one does.
	readOnly bool
}

// prepare returns a statement that is prepared once.
func (c *conn) prepare(ctx context.Context, query string) (driver.Stmt, error) {
	if st := c.statements[query]; st != nil {
		return st, nil
	}
	st, err := c.PrepareContext(ctx, query)
	if number(err) == errTooManyStatements && len(c.statements) > 0 {
		// The server has no room for those of all connections together.
		for _, other := range c.statements {
			_ = other.Close() // it is not used any more
		}
		clear(c.statements)
		st, err = c.PrepareContext(ctx, query)
	}
	if err != nil {
		return nil, err
	}
	c.statements[query] = st
	return st, nil
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, values []driver.NamedValue) (driver.Result, error) {
	if c.trace != nil {
		c.trace(ctx, c.fullConn, query, values)
	}
	st, err := c.prepare(ctx, query)
	if err != nil {
		return nil, c.noted(err)
	}
	execer, ok := st.(driver.StmtExecContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	result, err := execer.ExecContext(ctx, values)
	return result, c.noted(err)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, values []driver.NamedValue) (driver.Rows, error) {
	if c.trace != nil {
		c.trace(ctx, c.fullConn, query, values)
	}
	st, err := c.prepare(ctx, query)
	if err != nil {
		return nil, c.noted(err)
	}
	queryer, ok := st.(driver.StmtQueryContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	rows, err := queryer.QueryContext(ctx, values)
	return rows, c.noted(err)
}

// noted notes that a connection leads to a server that takes no changes.
func (c *conn) noted(err error) error {
	switch number(err) {
	case errReadOnlyOption, errReadOnlyTransaction, errReadOnlyMode:
		c.readOnly = true
	}
	return err
}

// IsValid implements driver.Validator. After a failover the name of the server
// may lead to the one that takes changes now.
func (c *conn) IsValid() bool {
	return !c.readOnly && c.fullConn.IsValid()
}

// Numbers of errors. Those that both servers have are the same.
const (
	errDuplicate           = 1062 // ER_DUP_ENTRY
	errNoSuchTable         = 1146 // ER_NO_SUCH_TABLE
	errLockWait            = 1205 // ER_LOCK_WAIT_TIMEOUT
	errDeadlock            = 1213 // ER_LOCK_DEADLOCK
	errReadOnlyOption      = 1290 // ER_OPTION_PREVENTS_STATEMENT
	errTooManyStatements   = 1461 // ER_MAX_PREPARED_STMT_COUNT_REACHED
	errReadOnlyTransaction = 1792 // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
	errReadOnlyMode        = 1836 // ER_READ_ONLY_MODE
	errCertification       = 3101 // ER_TRANSACTION_ROLLBACK_DURING_COMMIT: group replication of MySQL; Galera says errDeadlock
)

// number is the server's number of an error, 0 when it is not the server's.
func number(err error) uint16 {
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		return refused.Number
	}
	return 0
}
