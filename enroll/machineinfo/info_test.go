package machineinfo_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
)

func TestFamily(t *testing.T) {
	for product, want := range map[string]string{
		"iPhone17,2": "iPhone", "iPhone5,1": "iPhone", "iPod9,1": "iPhone", "iPad14,1": "iPad", "AppleTV14,1": "AppleTV",
		"RealityDevice14,1": "RealityDevice", "Watch7,5": "Watch", "Mac14,3": "Mac", "MacBookPro18,1": "Mac", "iMac21,1": "Mac",
		"VirtualMac2,1": "Mac", "AudioAccessory6,1": "", "arm64": "", "iPhoneX": "", "": "", "17,2": "",
	} {
		require.Equal(t, want, machineinfo.Info{Product: product}.Family(), product)
	}
}

func TestOS(t *testing.T) {
	for _, c := range []struct {
		product, os, build string
		want               string // "" for none
	}{
		{"iPhone17,2", "26.1", "23B85", "26.1"},
		{"iPhone17,2", "17.6.1", "21G93", "17.6.1"},
		{"iPhone17,2", "26", "23A341", "26.0"},
		{"iPhone17,2", "", "17A577", "13.0"},
		{"iPhone17,2", "", "19H12", "15.0"},
		{"iPhone17,2", "", "21G93", "17.0"},
		{"iPhone17,2", "", "22A3354", "18.0"},
		{"iPad14,1", "", "23B85", "26.0"},
		{"iPad14,1", "", "24A100", "27.0"},
		{"iPad14,1", "26.1 beta", "23B85", "26.0"},
		{"iPad14,1", "1.2.3.4", "16A1", ""},
		{"iPad14,1", "99999.1", "x", ""},
		{"iPad14,1", "-1.2", "", ""},
		{"Mac14,3", "15.1", "24B83", "15.1"},
		{"Mac14,3", "", "24B83", ""}, // macOS counts its builds otherwise
		{"Toaster", "", "23B85", ""},
	} {
		got, ok := machineinfo.Info{Product: c.product, OSVersion: c.os, Version: c.build}.OS()
		require.Equal(t, c.want != "", ok, c)
		if ok {
			require.Equal(t, c.want, got.String(), c)
		}
	}
	os := machineinfo.OS{Major: 17, Minor: 5}
	require.True(t, os.Before(18, 0))
	require.True(t, os.Before(17, 6))
	require.False(t, os.Before(17, 5))
	require.False(t, os.Before(15, 8))
}
