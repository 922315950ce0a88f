// Command wire makes two machines (network namespaces) with a long cable between
// them, for trying things by hand, and removes them when interrupted. Needs root.
//
//	go run ./internal/testbed/cmd/wire -delay 100ms -loss 0.01 -rate 50000000
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"dtpx/internal/testbed/netns"
	"dtpx/internal/testbed/wire"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "wire:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var s wire.Shape
	fs := flag.NewFlagSet("wire", flag.ExitOnError)
	fs.DurationVar(&s.Delay, "delay", 0, "one way")
	fs.Int64Var(&s.Rate, "rate", 0, "`bits` per second, 0 = unlimited")
	fs.Float64Var(&s.Loss, "loss", 0, "part of the packets that get lost, 0 to 1")
	fs.DurationVar(&s.Queue, "queue", 0, "longest wait for the rate (100ms)")
	fs.Parse(args)

	lab, err := netns.New()
	if err != nil {
		return fmt.Errorf("make namespaces (needs root and iproute2): %w", err)
	}
	defer lab.Close()
	a, err := lab.Machine("a")
	if err != nil {
		return err
	}
	b, err := lab.Machine("b")
	if err != nil {
		return err
	}
	w, err := wire.Join(lab, a, "10.99.0.1/24", b, "10.99.0.2/24", s)
	if err != nil {
		return err
	}
	defer w.Close()
	fmt.Fprintf(stdout, "%s\tip netns exec %s bash\n%s\tip netns exec %s bash\n", w.A.Addr(), a.Name(), w.B.Addr(), b.Name())
	<-ctx.Done()
	ab, ba := w.Stats()
	fmt.Fprintf(stdout, "a to b: %+v\nb to a: %+v\n", ab, ba)
	return nil
}
