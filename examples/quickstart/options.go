package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/enrollkit/enrollkit/enroll"
)

// options are the flags.
type options struct {
	once, noDevice, json bool
	addr                 string
	baseURL              *url.URL // nil: of the address listened on
	data                 string
	user                 string
	ios                  string
	way                  way // "": what the portal chooses for ios
	clocks               enroll.Clocks
}

// parse reads the flags. What is wrong is told on stderr and returned.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var base string
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.once, "once", false, "exit when the simulated device is done: 0, or 1 if a step failed")
	flags.BoolVar(&o.noDevice, "no-device", false, "run the server only")
	flags.BoolVar(&o.json, "json", false, "print one JSON object a step")
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8443", "`address` to listen on; port 0 picks a free one, and the same one again with the same -data")
	flags.StringVar(&base, "base-url", "", "`URL` that browsers and devices use (default https:// and the address listened on)")
	flags.StringVar(&o.data, "data", "", "`directory` of database and keys (default a new temporary one)")
	flags.StringVar(&o.user, "user", "alice@example.com", "who holds the phone: alice@example.com or bob@example.com")
	flags.StringVar(&o.ios, "ios", "17.6", "`version` of iOS on the simulated phone, such as 17.6, 18.6 or 26.1")
	flags.StringVar((*string)(&o.way), "way", "", "how the phone enrolls: "+wayNames()+" (default what the portal chooses for that iOS)")
	flags.DurationVar(&o.clocks.Wait, "wait", enroll.DefaultWait, "how long a ticket waits to be downloaded")
	flags.DurationVar(&o.clocks.Window, "window", enroll.DefaultWindow, "how long a downloaded profile waits to be installed")
	flags.DurationVar(&o.clocks.Grace, "grace", enroll.DefaultGrace, "how much longer the server accepts the device")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	err := errors.Join(o.judge(flags.Args()), o.setBase(base))
	if err != nil {
		fmt.Fprintf(stderr, "quickstart: %v\n", err)
	}
	return o, err
}

func (o *options) judge(rest []string) error {
	var bad []error
	if len(rest) > 0 {
		bad = append(bad, fmt.Errorf("unexpected argument %q", rest[0]))
	}
	if o.once && o.noDevice {
		bad = append(bad, errors.New("-once waits for the device that -no-device leaves out"))
	}
	_, port, err := net.SplitHostPort(o.addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		bad = append(bad, fmt.Errorf("-addr %q is not a host and a port", o.addr))
	}
	if o.user == "" {
		bad = append(bad, errors.New("-user is empty"))
	}
	if err := o.judgeWay(); err != nil {
		bad = append(bad, err)
	}
	if o.clocks.Wait <= 0 || o.clocks.Window <= 0 || o.clocks.Grace < 0 {
		bad = append(bad, errors.New("-wait and -window must be positive, and -grace not negative"))
	}
	if o.clocks.Window > enroll.MaxWindow {
		bad = append(bad, fmt.Errorf("-window %v is over %v, after which iOS deletes a waiting profile", o.clocks.Window, enroll.MaxWindow))
	}
	return errors.Join(bad...)
}

func (o *options) setBase(base string) error {
	if base == "" {
		return nil
	}
	u, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("-base-url %q is not https:// and a host", base)
	}
	u.Host = ourHost(u.Host)
	o.baseURL = u
	return nil
}
