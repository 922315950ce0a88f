package tcpinfo

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Known says that this system tells.
const Known = true

func ask(raw syscall.RawConn) (Info, bool) {
	var info *unix.TCPInfo
	var err error
	cerr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if cerr != nil || err != nil {
		return Info{}, false
	}
	var unanswered time.Duration
	if info.Bytes_sent > 0 && info.Bytes_received <= 1 {
		unanswered = time.Duration(info.Last_data_sent) * time.Millisecond
	}
	return Info{
		Received: int64(info.Bytes_received) - 1, // a FIN counts as a byte
		Sent:     int64(info.Bytes_sent),
		Timeouts: int(info.Retransmits), Unanswered: unanswered,
	}, true
}
