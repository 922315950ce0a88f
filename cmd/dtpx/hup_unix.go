//go:build !windows

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyHangup delivers SIGHUP to ch.
func notifyHangup(ch chan<- os.Signal) { signal.Notify(ch, syscall.SIGHUP) }
