package pushtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxPayload is the most that APNs takes for an MDM push, in bytes.
const maxPayload = 4096

// maxToken is the longest token in bytes.
const maxToken = 100

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// serve judges a request in the order and in the words of APNs.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	p, status, reason := s.judge(r)
	w.Header().Set("Apns-Id", p.APNsID)
	if status != http.StatusOK {
		refuse(w, status, reason, time.Time{})
		return
	}
	s.perform(w, r, p, s.reply(p))
}

func (s *Server) judge(r *http.Request) (p Push, status int, reason string) {
	p.Time = s.cfg.Now().UTC()
	certificate := r.TLS.PeerCertificates[0]
	p.Certificate = sha256.Sum256(certificate.Raw)
	p.APNsID = newUUID()
	if id := r.Header.Get("Apns-Id"); uuid.MatchString(id) {
		p.APNsID = id
	} else if id != "" {
		return p, http.StatusBadRequest, "BadMessageId"
	}
	token, ok := strings.CutPrefix(r.URL.EscapedPath(), "/3/device/")
	switch {
	case r.ProtoMajor != 2:
		return p, http.StatusHTTPVersionNotSupported, "HTTPVersionNotSupported"
	case !ok || strings.Contains(token, "/") || r.URL.RawQuery != "":
		return p, http.StatusNotFound, "BadPath"
	case r.Method != http.MethodPost:
		return p, http.StatusMethodNotAllowed, "MethodNotAllowed"
	case token == "":
		return p, http.StatusBadRequest, "MissingDeviceToken"
	}
	for name, values := range r.Header {
		if len(values) > 1 && strings.HasPrefix(name, "Apns-") {
			return p, http.StatusBadRequest, "DuplicateHeaders"
		}
	}
	var err error
	if p.Token, err = hex.DecodeString(token); err != nil || len(p.Token) > maxToken {
		return p, http.StatusBadRequest, "BadDeviceToken"
	}
	p.Topic = r.Header.Get("Apns-Topic")
	own := topicOf(certificate)
	switch {
	case p.Topic == "":
		return p, http.StatusBadRequest, "MissingTopic"
	case p.Topic != own:
		return p, http.StatusBadRequest, "TopicDisallowed"
	case own != s.cfg.Topic:
		return p, http.StatusBadRequest, "DeviceTokenNotForTopic"
	case r.Header.Get("Apns-Push-Type") != "mdm":
		return p, http.StatusBadRequest, "InvalidPushType"
	case r.Header.Get("Apns-Priority") != "10":
		return p, http.StatusBadRequest, "BadPriority"
	}
	if expiration := r.Header.Get("Apns-Expiration"); expiration != "" {
		seconds, err := strconv.ParseInt(expiration, 10, 64)
		if err != nil || seconds < 0 {
			return p, http.StatusBadRequest, "BadExpirationDate"
		}
		p.Expiration = time.Unix(seconds, 0).UTC()
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	if err != nil || len(body) > maxPayload {
		return p, http.StatusRequestEntityTooLarge, "PayloadTooLarge"
	}
	var payload map[string]string
	if err := json.Unmarshal(body, &payload); err != nil || len(payload) != 1 || payload["mdm"] == "" {
		return p, http.StatusBadRequest, "PayloadEmpty"
	}
	p.Magic = payload["mdm"]
	return p, http.StatusOK, ""
}

// newUUID is the apns-id of a request that came without.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
