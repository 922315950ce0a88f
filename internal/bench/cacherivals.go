package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// errAbsent is a rival that is not installed on this machine.
var errAbsent = errors.New("install")

// rival finds the program of a Debian package. Those in /usr/sbin are not in
// everybody's PATH.
func rival(program, pkg string) (string, error) {
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w %s", errAbsent, pkg)
}

// absent says that a row has no rival; that is not a failure of ours. It is true
// if err is that.
func absent(name string, err error) bool {
	if !errors.Is(err, errAbsent) {
		return false
	}
	fmt.Printf("%-34s could not be measured: %v\n", name, err)
	return true
}

// confDir is a new directory with one file in it.
func (b *bench) confDir(name, file, text string) (string, error) {
	if err := os.Chmod(b.dir, 0o755); err != nil { // squid's user has to pass
		return "", err
	}
	dir := b.fresh(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	text = strings.ReplaceAll(text, "DIR", dir)
	return dir, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644)
}

// serving starts a rival and waits until it accepts.
func serving(addr, name string, args ...string) (*process, error) {
	p, err := start(local, name, args...)
	if err != nil {
		return nil, err
	}
	err = waitFor(func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, p.out.String())
	}
	return p, nil
}

// nginxConf: one process, so that its CPU is easily read; one client keeps no more
// busy. The kernel's own sending, as a person would set it.
const nginxConf = `daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
user root;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path DIR/body; proxy_temp_path DIR/tmp;
  fastcgi_temp_path DIR/fastcgi; uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
  proxy_cache_path DIR/cache levels=1:2 keys_zone=c:20m max_size=20g use_temp_path=off;
  server {
    listen ADDR;
    location / {
      slice SLICE;
      proxy_cache c; proxy_cache_key $uri$is_args$args$slice_range; proxy_cache_valid 200 206 1h;
      proxy_set_header Range $slice_range; proxy_http_version 1.1;
      proxy_pass ORIGIN;
    }
  }
}
`

// nginxSlice: 4m and 16m were equally fast here, 1m a fifth slower.
const nginxSlice = "4m"

// nginx is a cache of slices in front of one origin.
func (b *bench) nginx(o *origin) (*side, error) {
	path, err := rival("nginx", "nginx")
	if err != nil {
		return nil, err
	}
	addr := "127.0.0.1:" + freePort()
	text := strings.NewReplacer("ADDR", addr, "ORIGIN", o.http, "SLICE", nginxSlice).Replace(nginxConf)
	dir, err := b.confDir("nginx", "nginx.conf", text)
	if err != nil {
		return nil, err
	}
	p, err := serving(addr, path, "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", filepath.Join(dir, "nginx.conf"))
	if err != nil {
		return nil, err
	}
	return newSide("nginx", p, addr, "")
}

const acngConf = `CacheDir: DIR/cache
LogDir: DIR/log
SupportDir: /usr/lib/apt-cacher-ng
SocketPath: DIR/socket
PidFile: DIR/pid
BindAddress: 127.0.0.1
Port: PORT
AllowUserPorts: 0
ExThreshold: 4
ForeGround: 1
VerboseLog: 0
`

// acng is apt-cacher-ng; it keeps only what has a name like a package's.
func (b *bench) acng() (*side, error) {
	path, err := rival("apt-cacher-ng", "apt-cacher-ng")
	if err != nil {
		return nil, err
	}
	port, err := lowPort()
	if err != nil {
		return nil, err
	}
	dir, err := b.confDir("acng", "acng.conf", strings.ReplaceAll(acngConf, "PORT", port))
	if err != nil {
		return nil, err
	}
	addr := "127.0.0.1:" + port
	p, err := serving(addr, path, "-c", dir)
	if err != nil {
		return nil, err
	}
	return newSide("apt-cacher-ng", p, addr, "")
}

// lowPort is a free one that fits into 15 bits: apt-cacher-ng 3.7 knows no others.
func lowPort() (string, error) {
	for port := 23142; port < 1<<15; port++ {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return strconv.Itoa(port), l.Close()
		}
	}
	return "", errors.New("no free port below 32768")
}

// lowOrigin is an origin that apt-cacher-ng can reach.
func (b *bench) lowOrigin(args ...string) (*origin, error) {
	port, err := lowPort()
	if err != nil {
		return nil, err
	}
	o, err := b.origin(append(args, "-listen", "127.0.0.1:"+port)...)
	if err == nil {
		o.http = "http://127.0.0.1:" + port
	}
	return o, err
}

// squidConf: memory for everything that is asked of it (its aufs had a sixth of the
// rate with large files); bumping opens every host. It does not know addresses in
// the origin's certificate.
const squidConf = `http_port ADDR ssl-bump tls-cert=DIR/ca.pem generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program /usr/lib/squid/security_file_certgen -s DIR/certs -M 4MB
sslcrtd_children 1
acl all_methods method GET
acl to_bump at_step SslBump1
ssl_bump bump to_bump
tls_outgoing_options cafile=ORIGINCA
sslproxy_cert_error allow all
http_access allow all
cache_mem 1024 MB
maximum_object_size_in_memory 512 MB
maximum_object_size 512 MB
memory_cache_mode always
access_log none
cache_log DIR/cache.log
pid_filename DIR/pid
coredump_dir DIR
pinger_enable off
shutdown_lifetime 0 seconds
netdb_filename none
cache_effective_user USER
visible_hostname localhost
`

// squid is squid-openssl with its memory cache, which needs a CA: certificate and
// key of a directory.
func (b *bench) squid(o *origin, ca string) (*side, error) {
	path, err := rival("squid", "squid-openssl")
	if err != nil {
		return nil, err
	}
	certgen, err := rival("../lib/squid/security_file_certgen", "squid-openssl")
	if err != nil {
		return nil, err
	}
	owner, err := squidUser()
	if err != nil {
		return nil, err
	}
	addr := "127.0.0.1:" + freePort()
	text := strings.NewReplacer("ADDR", addr, "ORIGINCA", o.ca, "USER", owner.Username).Replace(squidConf)
	dir, err := b.confDir("squid", "squid.conf", text)
	if err != nil {
		return nil, err
	}
	if err := joinFiles(filepath.Join(dir, "ca.pem"), filepath.Join(ca, "ca.pem"), filepath.Join(ca, "ca-key.pem")); err != nil {
		return nil, err
	}
	if out, err := local(ctx, certgen, "-c", "-s", filepath.Join(dir, "certs"), "-M", "4MB").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make squid's certificate store: %w: %s", err, out)
	}
	if err := own(dir, owner); err != nil {
		return nil, err
	}
	p, err := serving(addr, path, "-N", "-f", filepath.Join(dir, "squid.conf"))
	if err != nil {
		return nil, err
	}
	s, err := newSide("squid", p, addr, "")
	if err == nil { // squid names no addresses in its leaves
		s.client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
	}
	return s, err
}

// squidUser is who squid becomes: it refuses to be root.
func squidUser() (*user.User, error) {
	if os.Getuid() != 0 {
		return user.Current()
	}
	return user.Lookup("proxy")
}

func own(dir string, u *user.User) error {
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, gid)
	})
}

func joinFiles(to string, from ...string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, path := range from {
		part, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, part)
		part.Close()
		if err != nil {
			return err
		}
	}
	return f.Close()
}
