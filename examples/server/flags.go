package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// flags are what the command line says. Everything else is in the configuration.
type flags struct {
	config, dev        string
	dsn, listen, admin string
	identityProvider   string // where that of -dev listens
	check              bool
	export, imports    string
	reseal             bool
}

// parseFlags tells what is wrong on stderr and returns it.
func parseFlags(args []string, stderr io.Writer) (flags, error) {
	var o flags
	set := flag.NewFlagSet("server", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&o.config, "config", "", "`file` with the settings, JSON; those of the environment (ENROLLKIT_SERVER_…) go before it")
	set.StringVar(&o.dev, "dev", "", "make what is missing in `directory`, and run an identity provider and an APNs stand-in, for a trial")
	set.StringVar(&o.dsn, "dsn", "", "`address` of the PostgreSQL database, before that of the configuration")
	set.StringVar(&o.listen, "listen", "", "`address` to listen on, before that of the configuration")
	set.StringVar(&o.admin, "admin", "", "`address` of health and readiness, before that of the configuration")
	set.StringVar(&o.identityProvider, "dev-idp", "127.0.0.1:9444", "`address` of the identity provider of -dev")
	set.BoolVar(&o.check, "check", false, "check the configuration and the files that it names, and exit")
	set.StringVar(&o.export, "export", "", "write the whole fleet to `file`, sealed with database.keys, and exit; stopped, it goes on when it is started again")
	set.StringVar(&o.imports, "import", "", "take the fleet of `file` that -export made, and exit; no node may run on the database meanwhile")
	set.BoolVar(&o.reseal, "reseal", false, "seal again with the first of database.keys what the others have sealed, and exit; every node must have that one first already")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	err := o.judge(set.Args())
	if err != nil {
		fmt.Fprintln(stderr, describe(err))
	}
	return o, err
}

func (o flags) judge(rest []string) error {
	var f faults
	if len(rest) > 0 {
		f.add("command line", fmt.Errorf("unexpected argument %q", rest[0]))
	}
	if o.dev != "" && o.config != "" {
		f.add("command line", errors.New("-dev makes a configuration of its own, and -config names another"))
	}
	modes := 0
	for _, mode := range []bool{o.check, o.export != "", o.imports != "", o.reseal} {
		if mode {
			modes++
		}
	}
	if modes > 1 {
		f.add("command line", errors.New("-check, -export, -import and -reseal go one at a time"))
	}
	if o.dev != "" && modes > 0 && !o.check {
		f.add("command line", errors.New("-export, -import and -reseal go with a -config, such as that of a trial"))
	}
	return f.err()
}

// configure reads the configuration, as far as it can be read. The mistakes are
// those of reading it: newNode finds the others.
func configure(o flags, environ []string) (config, *faults) {
	c, f := defaults(), &faults{}
	if o.config != "" {
		c.readFile(o.config, f)
		c.dir = filepath.Dir(o.config)
	}
	c.readEnvironment(environ, f)
	for _, s := range []struct {
		name, flag string
		setting    *string
	}{{"database.dsn", o.dsn, &c.Database.DSN}, {"listen", o.listen, &c.Listen}, {"admin", o.admin, &c.Admin}} {
		if s.flag != "" {
			*s.setting = s.flag
			f.isRead(s.name)
		}
	}
	return c, f
}

// trial completes the settings for -dev, and starts the stand-ins.
func (o flags) trial(ctx context.Context, c *config, f *faults) (*standIns, error) {
	dir, err := filepath.Abs(o.dev)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c.dir = dir
	c.SignIn.Issuer = "https://" + o.identityProvider + "/idp"
	if c.Database.DSN == "" {
		f.add("database.dsn", fmt.Errorf("is missing: -dsn names a PostgreSQL, such as postgres:///enrollkit after \"createdb enrollkit\", which the trial does not bring along (in the environment: %s)", variable("database.dsn")))
	}
	return openStandIns(ctx, dir, c, nil)
}
