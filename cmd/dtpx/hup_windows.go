package main

import "os"

// notifyHangup does nothing: there is no SIGHUP on Windows.
func notifyHangup(chan<- os.Signal) {}
