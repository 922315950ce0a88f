package rules

import (
	"net/http"
	"strings"
	"time"
)

// dateForm is one of the three forms of HTTP-date (RFC 9110 §5.6.7). In shape
// A is a letter, 0 a digit, ? a digit or a space, the rest itself.
type dateForm struct{ shape, layout string }

var dateForms = []dateForm{
	{"AAA, 00 AAA 0000 00:00:00 GMT", "Mon, 02 Jan 2006 15:04:05 GMT"},
	{"AAA AAA ?0 00:00:00 0000", time.ANSIC},
}

// parseDate reads an HTTP-date. It is stricter than http.ParseTime, which takes
// several spaces, short hours and foreign zones: a date that the origin did not
// mean must not become a lifetime. Upper and lower case are the same, and the
// name of the day need not be right.
func parseDate(s string) (time.Time, bool) {
	if t, ok := fixdate(s); ok {
		return t, true
	}
	return anyDate(s)
}

// fixdate reads an IMF-fixdate as it should be, which nearly all are: three of them
// are read for each hit, and time.Parse was a tenth of its cost.
func fixdate(s string) (t time.Time, ok bool) {
	const days, months = "SunMonTueWedThuFriSat", "JanFebMarAprMayJunJulAugSepOctNovDec"
	if len(s) != 29 || s[3:5] != ", " || s[7] != ' ' || s[11] != ' ' || s[16] != ' ' || s[19] != ':' || s[22] != ':' || s[25:] != " GMT" {
		return t, false
	}
	day, month := strings.Index(days, s[:3]), strings.Index(months, s[8:11])
	if day < 0 || day%3 != 0 || month < 0 || month%3 != 0 {
		return t, false
	}
	var n [7]int // day, century, year, hour, minute, second
	for i, at := range []int{5, 12, 14, 17, 20, 23} {
		a, b := s[at]-'0', s[at+1]-'0'
		if a > 9 || b > 9 {
			return t, false
		}
		n[i] = int(a)*10 + int(b)
	}
	t = time.Date(n[1]*100+n[2], time.Month(month/3+1), n[0], n[3], n[4], n[5], 0, time.UTC)
	return t, n[0] > 0 && t.Day() == n[0] && n[3] < 24 && n[4] < 60 && n[5] < 60 // else it was normalised
}

func anyDate(s string) (time.Time, bool) {
	s = strings.ToUpper(strings.Trim(s, " \t"))
	for _, f := range dateForms {
		if hasShape(s, f.shape) {
			return parseLayout(f.layout, s)
		}
	}
	if day, rest, ok := strings.Cut(s, ","); ok && len(day) > 3 && hasShape(rest, " 00-AAA-00 00:00:00 GMT") {
		return parseLayout("Monday, 02-Jan-06 15:04:05 GMT", s)
	}
	return time.Time{}, false
}

func parseLayout(layout, s string) (time.Time, bool) {
	t, err := time.Parse(layout, s)
	return t, err == nil
}

func hasShape(s, shape string) bool {
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		digit := '0' <= s[i] && s[i] <= '9'
		switch shape[i] {
		case '0':
			if !digit {
				return false
			}
		case '?':
			if !digit && s[i] != ' ' {
				return false
			}
		case 'A':
			if s[i] < 'A' || s[i] > 'Z' {
				return false
			}
		default:
			if s[i] != shape[i] {
				return false
			}
		}
	}
	return true
}

// dateField is the date in a field that may occur once. Lines that differ are
// as bad as none.
func dateField(h http.Header, name string) (time.Time, bool) {
	lines := h[name]
	if len(lines) == 0 {
		return time.Time{}, false
	}
	for _, l := range lines[1:] {
		if l != lines[0] {
			return time.Time{}, false
		}
	}
	return parseDate(lines[0])
}

// ageField is the Age field: the first member of the first line, ignored when
// it is no number (RFC 9111 §5.1).
func ageField(h http.Header) int64 {
	lines := h["Age"]
	if len(lines) == 0 {
		return 0
	}
	first, _, _ := strings.Cut(lines[0], ",")
	n, _ := delta(strings.Trim(first, " \t"))
	return n
}
