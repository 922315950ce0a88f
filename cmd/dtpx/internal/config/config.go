// Package config reads proxy.yaml, strictly.
//
// A [Config] is the file's shape: each field's tag names its key, and further tags
// say what a value must be. The reader walks the YAML tree beside the struct, so
// that every complaint has its line, starts from [Default], and reports all
// complaints, not the first. Unknown keys, wrong types, values out of range,
// repeated keys, aliases and second documents are refused.
//
// The package opens the file it is told to and nothing else: whether an address is
// free or a directory writable is found out by who uses it.
package config

import (
	"fmt"
	"net/netip"
)

// Config is what proxy.yaml says. proxy.yaml explains each key.
type Config struct {
	Listen     string            `key:"listen" is:"listen"`
	State      string            `key:"state" is:"path"`
	Allow      []netip.Prefix    `key:"allow"`
	Users      map[string]string `key:"users" is:"bcrypt"`
	Upstream   string            `key:"upstream" is:"proxy-url"`
	UpstreamCA string            `key:"upstream_ca" is:"path"`
	Intercept  Intercept         `key:"intercept"`
	Accelerate Accelerate        `key:"accelerate"`
	Cluster    Cluster           `key:"cluster"`
	Cache      Cache             `key:"cache"`
	Log        Log               `key:"log"`
}

// Intercept says whose https is opened.
type Intercept struct {
	Enabled bool     `key:"enabled"`
	Only    []string `key:"only" is:"glob"`
	Never   []string `key:"never" is:"glob"`
	Learn   bool     `key:"learn"`
}

// Accelerate is the engine's part.
type Accelerate struct {
	Enabled     bool     `key:"enabled"`
	MinSize     Size     `key:"min_size" min:"64KiB" max:"1TiB"`
	Window      Size     `key:"window" min:"1MiB" max:"64GiB"`
	Memory      Size     `key:"memory" min:"1MiB" max:"1TiB"`
	Connections int      `key:"connections" min:"1" max:"256"`
	Interfaces  []string `key:"interfaces" is:"interface"`
	Never       []string `key:"never" is:"glob"`
}

// Cluster is about other machines.
type Cluster struct {
	Group       string   `key:"group" is:"name"`
	Secret      string   `key:"secret"`
	SecretFile  string   `key:"secret_file" is:"path"`
	Listen      string   `key:"listen" is:"listen"`
	MDNS        bool     `key:"mdns"`
	Interfaces  []string `key:"interfaces" is:"interface"`
	Join        []string `key:"join" is:"hostport"`
	Advertise   string   `key:"advertise" is:"host"`
	Trust       Trust    `key:"trust"`
	Credentials []string `key:"credentials" is:"glob"`
	Cap         Quota    `key:"cap"`
	Spend       string   `key:"spend" is:"fastest|fair"`
	Borrow      bool     `key:"borrow"`
	Lend        Lend     `key:"lend"`
}

// Lend is what others may use of this machine.
type Lend struct {
	Enabled     bool           `key:"enabled"`
	Quota       Quota          `key:"quota"`
	Reset       string         `key:"reset" is:"clock"`
	Rate        Rate           `key:"rate" min:"1KiB/s"`
	Connections int            `key:"connections" min:"1" max:"4096"`
	Ports       []int          `key:"ports" min:"1" max:"65535"`
	Allow       []netip.Prefix `key:"allow"`
}

// Clock is Reset, checked when it was read, as hours and minutes.
func (l Lend) Clock() (hour, minute int) {
	_, _ = fmt.Sscanf(l.Reset, "%d:%d", &hour, &minute)
	return hour, minute
}

// Cache is the disk cache.
type Cache struct {
	Enabled bool     `key:"enabled"`
	Dir     string   `key:"dir" is:"path"`
	Size    Size     `key:"size" min:"16MiB" max:"1024TiB"`
	Share   bool     `key:"share"`
	Keys    []string `key:"keys" is:"keys"`
}

// Log is what is written to stderr.
type Log struct {
	Level  string `key:"level" is:"debug|info|warn|error"`
	Format string `key:"format" is:"text|json"`
}

// Trust is whose cached bytes count without an origin's digest: nobody's
// ("digests"), the whole group's ("group"), or those of listed nodes (then Mode is
// "nodes").
type Trust struct {
	Mode  string
	Nodes []string
}

// Default is the config without a file.
func Default() Config {
	return Config{
		Listen:     "127.0.0.1:3128",
		Allow:      []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Intercept:  Intercept{Enabled: true, Learn: true},
		Accelerate: Accelerate{Enabled: true, MinSize: 4 * MiB, Window: 64 * MiB, Memory: 256 * MiB, Connections: 16},
		Cluster: Cluster{
			Listen: ":3129", MDNS: true, Trust: Trust{Mode: "digests"}, Spend: "fastest", Borrow: true,
			Lend: Lend{Enabled: true, Quota: Quota(256 * MiB), Reset: "00:00", Connections: 32, Ports: []int{80, 443}},
		},
		Cache: Cache{Enabled: true, Size: 10 * GiB, Share: true},
		Log:   Log{Level: "info", Format: "text"},
	}
}
