package machineinfo_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/internal/plist"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sample is what the fixtures hold.
var sample = machineinfo.Info{Product: "iPhone17,2", Version: "23B85", Language: "en-GB", OSVersion: "26.1"}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return b
}

func anchor(t testing.TB) machineinfo.Anchor {
	t.Helper()
	a, err := machineinfo.ParseAnchor(fixture(t, "device-ca.pem"))
	require.NoError(t, err)
	return a
}

func simulated(t testing.TB, edit ...func(*machineinfotest.Config)) *machineinfotest.CA {
	t.Helper()
	cfg := machineinfotest.Config{Now: func() time.Time { return now }}
	for _, e := range edit {
		e(&cfg)
	}
	ca, err := machineinfotest.NewSimulatedCA(cfg)
	require.NoError(t, err)
	return ca
}

func device(t testing.TB, ca *machineinfotest.CA) *machineinfotest.Device {
	t.Helper()
	d, err := ca.Device()
	require.NoError(t, err)
	return d
}

func sign(t testing.TB, d *machineinfotest.Device, content string) []byte {
	t.Helper()
	b, err := d.SignContent([]byte(content))
	require.NoError(t, err)
	return b
}

// dict is a property list of keys and elements.
func dict(pairs ...string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict>`)
	for i := 0; i+1 < len(pairs); i += 2 {
		b.WriteString("<key>" + pairs[i] + "</key>" + pairs[i+1])
	}
	b.WriteString("</dict></plist>")
	return b.String()
}

const (
	product = "<string>iPhone17,2</string>"
	version = "<string>23B85</string>"
)

func TestFixturesOfOpenSSL(t *testing.T) {
	a := anchor(t)
	for _, name := range []string{"sha1.der", "sha1-noattr.der", "sha256.der", "stream.ber"} {
		info, err := machineinfo.Verify(fixture(t, name), a)
		require.NoError(t, err, name)
		require.Equal(t, sample, info, name)
	}
}

func TestSimulatedDevices(t *testing.T) {
	cas := map[string]*machineinfotest.CA{
		"look-alike":   simulated(t, func(c *machineinfotest.Config) { c.Expired, c.Bits, c.Name = true, 1024, "Apple iPhone Device CA" }),
		"for any tool": simulated(t, func(c *machineinfotest.Config) { c.SHA256 = true }),
	}
	require.True(t, cas["look-alike"].Certificate.NotAfter.Before(now))
	require.Equal(t, x509.SHA1WithRSA, cas["look-alike"].Certificate.SignatureAlgorithm)
	require.True(t, cas["for any tool"].Certificate.NotAfter.After(now))
	full := machineinfo.Info{
		Product: "iPad14,1", Version: "23B85", Language: "de", OSVersion: "26.1", SupplementalBuildVersion: "23B85a",
		SupplementalOSVersionExtra: "(a)", SoftwareUpdateDeviceID: "J310AP", CanRequestSoftwareUpdate: true,
	}
	for name, ca := range cas {
		d := device(t, ca)
		for _, shape := range []machineinfotest.Shape{{}, {SHA256: true}, {NoAttributes: true}, {BER: true}, {SHA256: true, NoAttributes: true, BER: true}} {
			for _, info := range []machineinfo.Info{sample, full, {Product: "iPhone12,1", Version: "19H12"}} {
				d.Shape = shape
				body, err := d.Sign(info)
				require.NoError(t, err)
				got, err := machineinfo.Verify(body, ca.Anchor())
				require.NoError(t, err, name)
				require.Equal(t, info, got)
			}
		}
	}
}

func TestSeveralAuthorities(t *testing.T) {
	ca := simulated(t)
	body := sign(t, device(t, ca), dict("PRODUCT", product, "VERSION", version))
	both := machineinfo.Anchor{DeviceCAs: append(anchor(t).DeviceCAs, ca.Certificate)}
	for _, b := range [][]byte{body, fixture(t, "sha1.der")} {
		_, err := machineinfo.Verify(b, both)
		require.NoError(t, err)
	}
	_, err := machineinfo.Verify(body, machineinfo.Anchor{})
	require.ErrorIs(t, err, machineinfo.ErrUntrusted, "the zero value believes nobody")
}

func TestInsecureAnySigner(t *testing.T) {
	insecure := machineinfo.Anchor{InsecureAnySigner: true}
	for _, name := range []string{"sha1.der", "foreign.der", "pin.der"} {
		info, err := machineinfo.Verify(fixture(t, name), insecure)
		require.NoError(t, err, name)
		require.Equal(t, sample, info, name)
	}
	changed := fixture(t, "sha1.der")
	changed[len(changed)-1] ^= 1
	_, err := machineinfo.Verify(changed, insecure)
	require.ErrorIs(t, err, machineinfo.ErrUntrusted, "that the signature is good is not given up")
	_, err = machineinfo.Verify(fixture(t, "info.plist"), insecure)
	require.ErrorIs(t, err, machineinfo.ErrMalformed)
}

func TestParseAnchor(t *testing.T) {
	one := fixture(t, "device-ca.pem")
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: device(t, simulated(t)).Chain[0].Raw})
	for name, text := range map[string][]byte{
		"nothing":            nil,
		"no PEM":             []byte("Apple iPhone Device CA"),
		"a key":              pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}),
		"no certificate":     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}),
		"a device":           leaf,
		"one and a device":   append(append([]byte{}, one...), leaf...),
		"nine of them":       []byte(strings.Repeat(string(one), 9)),
		"a certificate, raw": anchor(t).DeviceCAs[0].Raw,
	} {
		t.Run(name, func(t *testing.T) {
			a, err := machineinfo.ParseAnchor(text)
			require.ErrorIs(t, err, machineinfo.ErrAnchor)
			require.Zero(t, a)
		})
	}
}

func TestStatus(t *testing.T) {
	_, untrusted := machineinfo.Verify(fixture(t, "foreign.der"), anchor(t))
	_, malformed := machineinfo.Verify(fixture(t, "info.plist"), anchor(t))
	require.Equal(t, http.StatusForbidden, machineinfo.Status(untrusted))
	require.Equal(t, http.StatusBadRequest, machineinfo.Status(malformed))
}

// Under User Enrollment a server must not learn what names the hardware, so
// there is no field that could hold it.
func TestHardwareIdentifiersAreDropped(t *testing.T) {
	ca := simulated(t)
	secret := "<string>00008110-000123456789801E</string>"
	body := sign(t, device(t, ca), dict("PRODUCT", product, "VERSION", version, "UDID", secret, "SERIAL", secret, "IMEI", secret, "IMEI2", secret, "MEID", secret, "PAIRING_TOKEN", "<data>AAAA</data>"))
	info, err := machineinfo.Verify(body, ca.Anchor())
	require.NoError(t, err)
	require.Equal(t, machineinfo.Info{Product: "iPhone17,2", Version: "23B85"}, info)
	known := map[string]bool{}
	for i := range reflect.TypeFor[machineinfo.Info]().NumField() {
		key, _, _ := strings.Cut(reflect.TypeFor[machineinfo.Info]().Field(i).Tag.Get("plist"), ",")
		known[key] = true
	}
	require.Equal(t, map[string]bool{
		"PRODUCT": true, "VERSION": true, "LANGUAGE": true, "OS_VERSION": true, "SUPPLEMENTAL_BUILD_VERSION": true,
		"SUPPLEMENTAL_OS_VERSION_EXTRA": true, "SOFTWARE_UPDATE_DEVICE_ID": true, "MDM_CAN_REQUEST_SOFTWARE_UPDATE": true,
	}, known)
}

func TestKeptCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := machineinfotest.LoadOrCreate(dir, machineinfotest.Config{})
	require.NoError(t, err)
	body := sign(t, device(t, first), dict("PRODUCT", product, "VERSION", version))
	second, err := machineinfotest.LoadOrCreate(dir, machineinfotest.Config{})
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(dir, "device-ca.pem"))
	require.NoError(t, err)
	written, err := machineinfo.ParseAnchor(text)
	require.NoError(t, err)
	for _, a := range []machineinfo.Anchor{first.Anchor(), second.Anchor(), written} {
		_, err = machineinfo.Verify(body, a)
		require.NoError(t, err)
	}
	_, err = machineinfo.Verify(sign(t, device(t, second), dict("PRODUCT", product, "VERSION", version)), written)
	require.NoError(t, err)
	key, err := os.Stat(filepath.Join(dir, "device-ca.key"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), key.Mode().Perm())
}

func TestMarshalIsAPropertyList(t *testing.T) {
	b, err := sample.Marshal()
	require.NoError(t, err)
	var keys map[string]any
	require.NoError(t, plist.Unmarshal(b, plist.Limits{}, &keys))
	require.Len(t, keys, 4, "what is empty is left out")
	_, err = machineinfo.Info{Product: "a\x00b", Version: "1"}.Marshal()
	require.Error(t, err)
}
