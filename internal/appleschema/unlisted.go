package appleschema

// What Apple describes on its pages and the schema has no file for.

// reported are the keys that every connect request has
// (https://developer.apple.com/documentation/devicemanagement/sending-mdm-commands-to-a-device).
var reported = []node{
	{name: "Status", rule: Rule{User: Required, Device: Required, Type: "string"}, values: []string{"Idle", "Acknowledged", "Error", "CommandFormatError", "NotNow"}},
	{name: "EnrollmentID", rule: Rule{User: Required, Device: Forbidden, Type: "string"}},
	{name: "UDID", rule: Rule{User: Forbidden, Device: Required, Type: "string"}},
	{name: "CommandUUID", rule: Rule{Type: "string"}},
	{name: "ErrorChain", rule: Rule{Type: "array"}, keys: []node{
		{name: "ErrorChainItem", rule: Rule{Type: "dictionary"}, keys: []node{
			{name: "ErrorCode", rule: Rule{User: Required, Device: Required, Type: "integer"}},
			{name: "ErrorDomain", rule: Rule{User: Required, Device: Required, Type: "string"}},
			{name: "LocalizedDescription", rule: Rule{User: Required, Device: Required, Type: "string"}},
			{name: "USEnglishDescription", rule: Rule{Type: "string"}},
		}},
	}},
}

// discovery is the answer of service discovery
// (https://developer.apple.com/documentation/devicemanagement/implementing-the-simple-authentication-account-driven-enrollment-flow).
var discovery = node{name: "Discovery", rule: Rule{Since: "15.0"}, keys: []node{
	{name: "Servers", rule: Rule{User: Required, Device: Required, Type: "array"}, keys: []node{
		{name: "Server", rule: Rule{Type: "dictionary"}, keys: []node{
			{name: "Version", rule: Rule{User: Required, Device: Required, Type: "string"}, values: []string{"mdm-byod", "mdm-adde"}},
			{name: "BaseURL", rule: Rule{User: Required, Device: Required, Type: "string", Pattern: "^https://.*$"}},
		}},
	}},
}}
