package main

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

func init() {
	path := os.Getenv("HOME") + "/cpu.prof"
	if _, err := os.Stat(path); err != nil {
		return
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR2)
	go func() {
		<-c
		f, _ := os.Create(path)
		pprof.StartCPUProfile(f)
		<-c
		pprof.StopCPUProfile()
		f.Close()
	}()
}
