package enroll

import (
	"fmt"
	"html/template"
	"strings"

	"rsc.io/qr"
)

// quiet is the empty border that a QR code needs, in modules (ISO/IEC 18004).
const quiet = 4

// qrCode draws the code of an address as SVG, dark on white whatever the page's
// colours are: cameras want it so.
func qrCode(address string) (template.HTML, error) {
	code, err := qr.Encode(address, qr.M)
	if err != nil {
		return "", fmt.Errorf("enroll: QR code: %w", err)
	}
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := x
			for run < code.Size && code.Black(run, y) {
				run++
			}
			if run > x {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run-x, run-x)
				x = run
			}
		}
	}
	size := code.Size + 2*quiet
	svg := fmt.Sprintf(`<svg class="qr" role="img" aria-label="QR code of this page’s address" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="%s"/></svg>`,
		size, size, size, size, path.String())
	return template.HTML(svg), nil //nolint:gosec // digits and letters of our own
}
