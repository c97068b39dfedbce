package appleschema_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/enrollkit/enrollkit/internal/appleschema"
)

type dict = map[string]any

// with adds keys to a document; a nil value removes one.
func with(d dict, more dict) dict {
	d = maps.Clone(d)
	for k, v := range more {
		if d[k] = v; v == nil {
			delete(d, k)
		}
	}
	return d
}

func decode(t *testing.T, text string) dict {
	t.Helper()
	var d dict
	require.NoError(t, json.Unmarshal([]byte(text), &d))
	return d
}

var (
	common       = dict{"PayloadIdentifier": "a.b", "PayloadUUID": "U", "PayloadVersion": uint64(1)}
	management   = with(common, dict{"PayloadType": "com.apple.mdm", "Topic": "com.apple.mgmt.x", "ServerURL": "https://a/", "IdentityCertificateUUID": "6E0C7C0A-0002-4F4E-9A57-5A0E4B1B0002"})
	configured   = with(common, dict{"PayloadType": "Configuration", "PayloadContent": []any{management}})
	authenticate = dict{"MessageType": "Authenticate", "EnrollmentID": "E", "Topic": "t", "OSVersion": "17.6", "BuildVersion": "21G93", "ProductName": "iPhone15,2"}
	acknowledged = dict{"Status": "Acknowledged", "EnrollmentID": "E", "CommandUUID": "U"}
)

func TestValidate(t *testing.T) {
	device, ios17, ios18 := Target{Enrollment: DeviceEnrollment}, Target{OS: "17.6"}, Target{OS: "18.6"}
	activation := decode(t, `{"Type":"com.apple.activation.simple","Identifier":"i","ServerToken":"s","Payload":{"StandardConfigurations":["c"]}}`)
	items := `{"Declarations":{"Activations":[{"Identifier":"i","ServerToken":"s"}],"Assets":[],"Configurations":[],"Management":[]},"DeclarationsToken":"t"}`
	info := dict{"RequestType": "DeviceInformation", "Queries": []any{"OSVersion"}}
	settings := func(item dict) dict { return dict{"RequestType": "Settings", "Settings": []any{item}} }
	organization := dict{"Item": "OrganizationInfo", "OrganizationInfo": dict{"OrganizationName": "A"}}
	withMDM := func(more dict) dict { return with(configured, dict{"PayloadContent": []any{with(management, more)}}) }
	payload := func(kind string, more dict) dict { return with(with(common, dict{"PayloadType": kind}), more) }
	sso := payload("com.apple.extensiblesso", dict{"ExtensionIdentifier": "a.b", "Type": "Redirect", "URLs": []any{"https://a/"}, "ExtensionData": dict{"any": true}})
	kerberos := payload("com.apple.extensiblesso", dict{"ExtensionIdentifier": "com.apple.AppSSOKerberos.KerberosExtension", "TeamIdentifier": "apple", "Type": "Credential", "Realm": "A", "Hosts": []any{"a"}, "ExtensionData": dict{"useSiteAutoDiscovery": true, "domainRealmMapping": dict{"EXAMPLE.COM": []any{".example.com"}}}})
	machine := dict{"PRODUCT": "iPhone17,2", "VERSION": "23B85", "LANGUAGE": "en"}

	for _, test := range []struct {
		name     string
		kind     Kind
		named    string
		document dict
		target   Target
		problem  string // "" for none
	}{
		{"command", KindCommand, "", info, Target{}, ""},
		{"command without its name", KindCommand, "DeviceInformation", with(info, dict{"RequestType": nil}), Target{}, "RequestType"},
		{"command under another name", KindCommand, "SecurityInfo", info, Target{}, "RequestType"},
		{"unknown command", KindCommand, "", dict{"RequestType": "Frobnicate"}, Target{}, `no command "Frobnicate"`},
		{"command of macOS", KindCommand, "", dict{"RequestType": "RotateFileVaultKey"}, Target{}, "no command"},
		{"forbidden command", KindCommand, "", dict{"RequestType": "EraseDevice"}, Target{}, "EraseDevice is forbidden under User Enrollment"},
		{"the same under Device Enrollment", KindCommand, "", dict{"RequestType": "EraseDevice"}, device, ""},
		{"supervised command", KindCommand, "", dict{"RequestType": "RestartDevice"}, device, "supervised"},
		{"command too new", KindCommand, "", dict{"RequestType": "DeclarativeManagement"}, Target{OS: "14.8"}, "not in iOS 14.8"},
		{"missing key", KindCommand, "", with(info, dict{"Queries": nil}), Target{}, "Queries: is missing"},
		{"unknown key", KindCommand, "", with(info, dict{"Query": true}), Target{}, "Query: is unknown"},
		{"wrong type", KindCommand, "", with(info, dict{"Queries": "OSVersion"}), Target{}, "is string and not array"},
		{"unknown query", KindCommand, "", with(info, dict{"Queries": []any{"Mood"}}), Target{}, `Queries[0]: "Mood" is unknown`},
		{"forbidden query", KindCommand, "", with(info, dict{"Queries": []any{"OSVersion", "SerialNumber"}}), Target{}, "Queries[1]: SerialNumber is forbidden"},
		{"the same query under Device Enrollment", KindCommand, "", with(info, dict{"Queries": []any{"SerialNumber"}}), device, ""},
		{"setting", KindCommand, "", settings(organization), Target{}, ""},
		{"setting with an unknown key", KindCommand, "", settings(with(organization, dict{"Extra": true})), Target{}, "Settings[0].Extra: is unknown"},
		{"forbidden setting", KindCommand, "", settings(dict{"Item": "DataRoaming", "Enabled": true}), Target{}, "DataRoaming is forbidden"},
		{"unknown setting", KindCommand, "", settings(dict{"Item": "Mood"}), Target{}, "Settings[0]: is none of the alternatives"},
		{"enumerated integer", KindCommand, "", dict{"RequestType": "InstallApplication", "ManagementFlags": uint64(2)}, Target{}, `ManagementFlags: is "2"`},
		{"app", KindCommand, "", dict{"RequestType": "InstallApplication", "iTunesStoreID": uint64(1), "Configuration": dict{"a": dict{"b": true}}}, Target{}, ""},
		{"taking over an app", KindCommand, "", dict{"RequestType": "InstallApplication", "ChangeManagementState": "Managed"}, Target{}, "forbidden"},

		{"idle", KindReport, "", dict{"Status": "Idle", "EnrollmentID": "E"}, Target{}, ""},
		{"idle by UDID", KindReport, "", dict{"Status": "Idle", "UDID": "U"}, device, ""},
		{"UDID under User Enrollment", KindReport, "", dict{"Status": "Idle", "UDID": "U"}, Target{}, "UDID is forbidden"},
		{"EnrollmentID under Device Enrollment", KindReport, "", dict{"Status": "Idle", "EnrollmentID": "E"}, device, "EnrollmentID is forbidden"},
		{"report", KindReport, "SecurityInfo", with(acknowledged, dict{"SecurityInfo": dict{"PasscodeCompliant": true}}), Target{}, ""},
		{"report on what does not report", KindReport, "InstallProfile", acknowledged, Target{}, ""},
		{"report without a command", KindReport, "", with(acknowledged, dict{"CommandUUID": nil}), Target{}, "CommandUUID: is missing"},
		{"report on an unknown command", KindReport, "Mood", acknowledged, Target{}, "no command"},
		{"report with an unknown key", KindReport, "InstallProfile", with(acknowledged, dict{"Mood": 1}), Target{}, "Mood: is unknown"},
		{"unknown status", KindReport, "", with(acknowledged, dict{"Status": "Done"}), Target{}, `Status: is "Done"`},
		{"what User Enrollment hides", KindReport, "DeviceInformation", with(acknowledged, dict{"QueryResponses": dict{"SerialNumber": "S"}}), Target{}, "SerialNumber is forbidden"},
		{"chain of errors", KindReport, "SecurityInfo", with(acknowledged, dict{"Status": "Error", "ErrorChain": []any{dict{"ErrorCode": uint64(1), "ErrorDomain": "D", "LocalizedDescription": "l"}}}), Target{}, ""},
		{"chain without a domain", KindReport, "SecurityInfo", with(acknowledged, dict{"Status": "Error", "ErrorChain": []any{dict{"ErrorCode": uint64(1), "LocalizedDescription": "l"}}}), Target{}, "ErrorChain[0].ErrorDomain: is missing"},

		{"Authenticate", KindCheckIn, "", authenticate, Target{}, ""},
		{"serial number", KindCheckIn, "", with(authenticate, dict{"SerialNumber": "S"}), Target{}, "SerialNumber is forbidden"},
		{"Authenticate under Device Enrollment", KindCheckIn, "", with(authenticate, dict{"EnrollmentID": nil, "UDID": "U", "SerialNumber": "S"}), device, ""},
		{"no UDID there", KindCheckIn, "", with(authenticate, dict{"EnrollmentID": nil}), device, "UDID: is missing"},
		{"no EnrollmentID", KindCheckIn, "", with(authenticate, dict{"EnrollmentID": nil}), Target{}, "EnrollmentID: is missing"},
		{"key of macOS", KindCheckIn, "", with(authenticate, dict{"DeviceName": "Mac"}), Target{}, "DeviceName: is unknown"},
		{"unknown message", KindCheckIn, "", with(authenticate, dict{"MessageType": "Foo"}), Target{}, `no check-in "Foo"`},
		{"token of text", KindCheckIn, "", dict{"MessageType": "TokenUpdate", "EnrollmentID": "E", "Topic": "t", "PushMagic": "m", "Token": "AAAA"}, Target{}, "Token: is string and not data"},
		{"answer", KindCheckInAnswer, "GetToken", dict{"TokenData": []byte{1}}, Target{}, ""},
		{"answer without a key", KindCheckInAnswer, "GetToken", dict{}, Target{}, "TokenData: is missing"},
		{"answer to nothing", KindCheckInAnswer, "Mood", dict{}, Target{}, "no check-in answer"},

		{"error", KindError, "", dict{"code": "com.apple.unrecognized.device"}, Target{}, ""},
		{"error with a key too many", KindError, "", dict{"code": "com.apple.unrecognized.device", "status": "403"}, Target{}, "status: is unknown"},
		{"error without details", KindError, "", dict{"code": "com.apple.softwareupdate.required"}, Target{}, "details: is missing"},
		{"unknown error", KindError, "", dict{"code": "com.apple.mood"}, Target{}, "no error"},
		{"error for an old iOS", KindError, "", dict{"code": "com.apple.well-known.failed"}, Target{OS: "17.4"}, "not in iOS 17.4"},

		{"profile", KindProfile, "", configured, Target{}, ""},
		{"profile without a UUID", KindProfile, "", with(configured, dict{"PayloadUUID": nil}), Target{}, "PayloadUUID: is missing"},
		{"profile of another type", KindProfile, "", with(configured, dict{"PayloadType": "Other"}), Target{}, `PayloadType: is "Other"`},
		{"profile that stays", KindProfile, "", with(configured, dict{"PayloadRemovalDisallowed": true}), Target{}, "forbidden"},
		{"consent", KindProfile, "", with(configured, dict{"ConsentText": dict{"default": "Yes?"}}), Target{}, ""},
		{"payload without a key", KindProfile, "", withMDM(dict{"Topic": nil}), Target{}, "PayloadContent[0].Topic: is missing"},
		{"payload without a common key", KindProfile, "", withMDM(dict{"PayloadUUID": nil}), Target{}, "PayloadContent[0].PayloadUUID: is missing"},
		{"payload with a key too many", KindProfile, "", withMDM(dict{"Mood": true}), Target{}, "PayloadContent[0].Mood: is unknown"},
		{"version of text", KindProfile, "", withMDM(dict{"PayloadVersion": "1"}), Target{}, "is string and not integer"},
		{"http", KindProfile, "", withMDM(dict{"ServerURL": "http://a/"}), Target{}, "ServerURL: does not match"},
		{"unknown mode", KindProfile, "", withMDM(dict{"EnrollmentMode": "Other"}), Target{}, `EnrollmentMode: is "Other"`},
		{"rights", KindProfile, "", withMDM(dict{"AccessRights": uint64(1)}), Target{}, "AccessRights is forbidden"},
		{"rights under Device Enrollment", KindProfile, "", withMDM(dict{"AccessRights": uint64(1)}), device, ""},
		{"profile-driven", KindProfile, "", withMDM(dict{"ManagedAppleID": "a@b"}), ios17, ""},
		{"profile-driven on iOS 18", KindProfile, "", withMDM(dict{"ManagedAppleID": "a@b"}), ios18, "ManagedAppleID is not in iOS 18.6"},
		{"profile-driven as Device Enrollment", KindProfile, "", withMDM(dict{"ManagedAppleID": "a@b"}), device, "forbidden"},
		{"unknown payload", KindProfile, "", with(configured, dict{"PayloadContent": []any{payload("com.example", nil)}}), Target{}, `PayloadContent[0]: iOS has no payload "com.example"`},
		{"top level inside", KindPayload, "", payload("TopLevel", nil), Target{}, "no payload"},
		{"forbidden payload", KindPayload, "", payload("com.apple.vpn.managed", nil), Target{}, "com.apple.vpn.managed is forbidden"},
		{"payload of the erratum", KindPayload, "", payload("com.apple.cellularprivatenetwork.managed", nil), Target{}, "forbidden"},
		{"SSO", KindPayload, "", sso, Target{}, ""},
		{"SSO without an extension", KindPayload, "", with(sso, dict{"ExtensionIdentifier": nil}), Target{}, "ExtensionIdentifier: is missing"},
		{"Kerberos", KindPayload, "", kerberos, Target{}, ""},
		{"Kerberos with a key too many", KindPayload, "", with(kerberos, dict{"ExtensionData": dict{"mood": true}}), Target{}, "ExtensionData.mood: is unknown"},
		{"supervised restriction", KindPayload, "", payload("com.apple.applicationaccess", dict{"allowAirDrop": false}), Target{}, "allowAirDrop"},

		{"machine information", KindMachineInfo, "", machine, Target{}, ""},
		{"machine information without a product", KindMachineInfo, "", with(machine, dict{"PRODUCT": nil}), Target{}, "PRODUCT: is missing"},
		{"machine information with a serial number", KindMachineInfo, "", with(machine, dict{"SERIAL": "S"}), Target{}, "SERIAL is forbidden"},
		{"machine information with its UDID", KindMachineInfo, "", with(machine, dict{"UDID": "S"}), device, ""},
		{"machine information of an old iOS", KindMachineInfo, "", with(machine, dict{"OS_VERSION": "16.1"}), Target{OS: "16.1"}, "OS_VERSION is not in iOS 16.1"},

		{"discovery", KindDiscovery, "", decode(t, `{"Servers":[{"Version":"mdm-byod","BaseURL":"https://a/"}]}`), Target{}, ""},
		{"discovery without servers", KindDiscovery, "", dict{}, Target{}, "Servers: is missing"},
		{"discovery of another version", KindDiscovery, "", decode(t, `{"Servers":[{"Version":"mdm","BaseURL":"https://a/"}]}`), Target{}, "Servers[0].Version"},

		{"Enrollment SSO", KindESSO, "", decode(t, `{"iTunesStoreID":1,"ConfigurationProfile":"PD94"}`), Target{}, ""},
		{"Enrollment SSO by declarations", KindESSO, "", decode(t, `{"iTunesStoreID":1,"Declarations":["e30="]}`), Target{OS: "18.4"}, ""},
		{"declarations too early", KindESSO, "", decode(t, `{"Declarations":["e30="]}`), Target{OS: "18.3"}, "Declarations is not in iOS 18.3"},
		{"Enrollment SSO with half a number", KindESSO, "", decode(t, `{"iTunesStoreID":1.5,"ConfigurationProfile":"PD94"}`), Target{}, "iTunesStoreID: is float64"},
		{"Enrollment SSO without base64", KindESSO, "", decode(t, `{"ConfigurationProfile":"<plist>"}`), Target{}, "ConfigurationProfile: is string and not data"},

		{"declaration", KindDeclaration, "", activation, Target{}, ""},
		{"declaration without a token", KindDeclaration, "", with(activation, dict{"ServerToken": nil}), Target{}, "ServerToken: is missing"},
		{"declaration with a bad payload", KindDeclaration, "", with(activation, dict{"Payload": dict{"StandardConfigurations": []any{1.0}, "Mood": 1.0}}), Target{}, "Payload.Mood: is unknown"},
		{"unknown declaration", KindDeclaration, "", with(activation, dict{"Type": "com.apple.mood"}), Target{}, "no declaration"},
		{"declaration of any type", KindDeclaration, "", with(activation, dict{"Type": "any"}), Target{}, "no declaration"},
		{"forbidden declaration", KindDeclaration, "", with(activation, dict{"Type": "com.apple.configuration.math.settings", "Payload": dict{}}), Target{}, "forbidden under User Enrollment"},
		{"declaration for the supervised", KindDeclaration, "", with(activation, dict{"Type": "com.apple.configuration.softwareupdate.enforcement.specific", "Payload": dict{"TargetOSVersion": "18", "TargetLocalDateTime": "2026-01-01T00:00:00"}}), Target{}, "forbidden"},
		{"credential", KindCredential, "com.apple.credential.usernameandpassword", decode(t, `{"UserName":"a","Password":"p"}`), Target{}, ""},
		{"unknown credential", KindCredential, "com.apple.credential", dict{}, Target{}, "no credential"},

		{"tokens", KindSynchronization, "TokensResponse", decode(t, `{"SyncTokens":{"DeclarationsToken":"t","Timestamp":"2026-01-31T12:00:00Z"}}`), Target{}, ""},
		{"tokens at no time", KindSynchronization, "TokensResponse", decode(t, `{"SyncTokens":{"DeclarationsToken":"t","Timestamp":"yesterday"}}`), Target{}, "Timestamp: is string and not date"},
		{"manifest", KindSynchronization, "DeclarationItemsResponse", decode(t, items), Target{}, ""},
		{"manifest without assets", KindSynchronization, "DeclarationItemsResponse", decode(t, strings.Replace(items, `"Assets":[],`, "", 1)), Target{}, "Declarations.Assets: is missing"},
		{"manifest with a nameless item", KindSynchronization, "DeclarationItemsResponse", decode(t, strings.Replace(items, `"Identifier":"i",`, "", 1)), Target{}, "Declarations.Activations[0].Identifier: is missing"},
		{"status", KindSynchronization, "StatusReport", decode(t, `{"StatusItems":{"any":{"thing":1}},"Errors":[]}`), Target{}, ""},
		{"status without errors", KindSynchronization, "StatusReport", decode(t, `{"StatusItems":{}}`), Target{}, "Errors: is missing"},
		{"unknown document", KindSynchronization, "Mood", dict{}, Target{}, "no synchronization"},
		{"unknown kind", "mood", "", dict{}, Target{}, "no mood"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var found []string
			for _, p := range Validate(test.kind, test.named, test.document, test.target) {
				found = append(found, p.String())
			}
			if test.problem == "" {
				require.Empty(t, found)
				return
			}
			require.Contains(t, strings.Join(found, "\n"), test.problem)
		})
	}
}

func TestDatesAndNumbersInPropertyLists(t *testing.T) {
	require.Empty(t, Validate(KindProfile, "", with(configured, dict{"RemovalDate": time.Now(), "DurationUntilRemoval": uint64(3)}), Target{}))
	require.Len(t, Validate(KindProfile, "", with(configured, dict{"RemovalDate": "2026-01-01T00:00:00Z"}), Target{}), 1)
	require.Len(t, Validate(KindProfile, "", with(configured, dict{"PayloadVersion": 1.0}), Target{}), 1, "a real is no integer there")
}
