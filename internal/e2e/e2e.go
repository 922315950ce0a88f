// Package e2e holds tests only: they start the real binary in an empty home and
// use it as a person would, with real programs as clients, stop it by signals,
// and look at what it leaves.
//
//	box      a machine as a new user has it: an empty home, nothing running
//	node     dtpx serve, running in a box
//	origin   a testbed origin that throttles each connection
//
// That a download was accelerated is told by the origin's connections, not by a
// clock. The binary is built with the race detector, and a run in which it finds
// something fails.
package e2e
