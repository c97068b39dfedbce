package main

import (
	"fmt"
	"io"
	"time"
)

// shown is how often progress is told anew.
const shown = 200 * time.Millisecond

// display is one line that changes.
type display struct {
	w    io.Writer
	next time.Time
}

// show tells how far it is, if that is worth telling yet.
func (d *display) show(format string, values ...any) {
	now := time.Now()
	if now.Before(d.next) {
		return
	}
	d.next = now.Add(shown)
	fmt.Fprintf(d.w, "\r"+format, values...)
}

// last tells how far it came.
func (d *display) last(format string, values ...any) {
	fmt.Fprintf(d.w, "\r"+format+"\n", values...)
}
