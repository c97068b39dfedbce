package enroll

import "net/http"

const (
	askAgain = "Start again from the first page."
	askDesk  = "Ask the help desk and tell them the code below."
)

// problems is the one table of what a person can meet.
var problems = []Problem{
	{
		Code: CodeNotThisDevice, Topic: TopicBefore, Title: "Use your iPhone or iPad",
		Cause:  "This browser does not look like one on an iPhone or iPad. iPads call themselves Macs.",
		Remedy: "Open the address on the device that you want to set up, or say that this is an iPhone or iPad.",
	},
	{
		Code: CodeNotSafari, Topic: TopicBefore, Title: "Open this page in Safari",
		Cause:  "On an iPhone or iPad only Safari hands profiles over to Settings. Other browsers, and pages inside apps, do not.",
		Remedy: "Copy the address, open Safari, and paste it there.",
	},
	{
		Code: CodeOSTooOld, Topic: TopicBefore, Title: "This iOS is too old",
		Cause:  "Setting up work on a device of your own needs iOS or iPadOS 13.1 at least. Earlier versions cannot keep work and private data apart.",
		Remedy: "Update in Settings > General > Software Update, then come back. A device that offers no update cannot be used.",
	},
	{
		Code: CodeOSAccount, Topic: TopicBefore, Title: "Set up from Settings",
		Cause:  "Since iOS and iPadOS 18 Apple accepts no downloaded profile for a device of your own.",
		Remedy: "Open Settings > General > VPN & Device Management > Sign In to Work or School Account, and type your Managed Apple Account.",
	},

	{
		Code: CodeSignInUnknown, Status: http.StatusBadRequest, Topic: TopicSignIn, Again: true, Title: "Sign-in was not started here",
		Cause:  "This sign-in was started in another browser, took longer than ten minutes, or cookies are switched off.",
		Remedy: "Sign in again, all of it in one browser. In Settings > Safari, “Block All Cookies” has to be off.",
	},
	{
		Code: CodeSignInUsed, Status: http.StatusBadRequest, Topic: TopicSignIn, Again: true, Title: "This sign-in is used up",
		Cause:  "Each sign-in works once. The page was loaded again, or you came back to it.",
		Remedy: "Sign in again.",
	},
	{
		Code: CodeSignInRefused, Status: http.StatusBadRequest, Topic: TopicSignIn, Again: true, Title: "Sign-in could not be checked",
		Cause:  "The answer of the sign-in service did not pass our checks.",
		Remedy: "Sign in again. If it happens again, tell the help desk the code below.",
	},
	{
		Code: CodeSignInDenied, Status: http.StatusForbidden, Topic: TopicSignIn, Again: true, Title: "Sign-in was declined",
		Cause:  "The sign-in service did not let you in, or you cancelled.",
		Remedy: "Sign in again with your work account. If you are declined again, the help desk can see why.",
	},
	{
		Code: CodeDomain, Status: http.StatusForbidden, Topic: TopicSignIn, Again: true, Title: "That is not a work account",
		Cause:  "You signed in with an account of another organization, or a private one.",
		Remedy: "Sign in again with your work account. A private window helps if the other account is chosen by itself.",
	},
	{
		Code: CodeTenant, Status: http.StatusForbidden, Topic: TopicSignIn, Again: true, Title: "That is another organization’s account",
		Cause:  "You signed in with an account of an organization that is not served here.",
		Remedy: "Sign in again with your work account. A private window helps if the other account is chosen by itself.",
	},
	{
		Code: CodeMFA, Status: http.StatusForbidden, Topic: TopicSignIn, Again: true, Title: "A second factor is needed",
		Cause:  "You signed in without a second factor, such as a code or a confirmation in an app.",
		Remedy: "Set up a second factor for your work account, then sign in again.",
	},
	{
		Code: CodeGroup, Status: http.StatusForbidden, Topic: TopicSignIn, Title: "Your account may not do this yet",
		Cause:  "Setting up a device of your own is for members of certain groups, and your account is in none of them.",
		Remedy: "Ask the help desk to be let in, then sign in again.",
	},
	{
		Code: CodeGroupsAbsent, Status: http.StatusForbidden, Topic: TopicSignIn, Title: "Your groups are not known",
		Cause:  "The sign-in service did not say which groups your account is in, so nobody can be let in.",
		Remedy: askDesk + " The sign-in service has to be set up to tell groups.",
	},
	{
		Code: CodeGroupsTruncated, Status: http.StatusForbidden, Topic: TopicSignIn, Title: "Your groups are not all known",
		Cause:  "Your account is in so many groups that the sign-in service did not list all of them.",
		Remedy: askDesk + " App roles, or a filter on groups, solve it.",
	},
	{
		Code: CodeProviderDown, Status: http.StatusServiceUnavailable, Topic: TopicSignIn, Again: true, Title: "Sign-in is not available",
		Cause:  "The sign-in service does not answer.",
		Remedy: "Try again in a few minutes. Nothing is lost.",
	},
	{
		Code: CodeSuspended, Status: http.StatusForbidden, Topic: TopicSignIn, Title: "Your account is suspended",
		Cause:  "Your account is suspended here and may neither sign in nor set up a device.",
		Remedy: "Ask the help desk to lift the suspension.",
	},
	{
		Code: CodeIdentity, Status: http.StatusForbidden, Title: "Your account cannot be used",
		Cause:  "The sign-in service said who you are in a way that cannot be kept.",
		Remedy: askDesk,
	},
	{
		Code: CodeUnmapped, Status: http.StatusForbidden, Topic: TopicSignIn, Title: "Your Managed Apple Account is not known",
		Cause:  "From what the sign-in service says about you, no Managed Apple Account can be made.",
		Remedy: askDesk + " The account lacks a value that the mapping needs.",
	},
	{
		Code: CodeAccountUnknown, Status: http.StatusForbidden, Topic: TopicSignIn, Title: "Your Managed Apple Account does not exist yet",
		Cause:  "Apple does not know your Managed Apple Account. New accounts take a while to arrive there.",
		Remedy: "Try again later today. If that does not help, ask the help desk to look it up in Apple Business Manager.",
	},
	{
		Code: CodeDeviceLimit, Status: http.StatusForbidden, Topic: TopicSignIn, Title: "You have as many devices as allowed",
		Cause:  "Your account is set up on as many devices as one person may have.",
		Remedy: "On a device that you no longer use, open Settings > General > VPN & Device Management and remove management. Then sign in again.",
	},

	{
		Code: CodeAccountUnsupported, Topic: TopicSettings, Title: "Settings does not accept the account",
		Cause:  "The Managed Apple Account was mistyped, or its domain does not say where devices are set up.",
		Remedy: "Sign in to this page to see your Managed Apple Account, and type it exactly so. If Settings still refuses it, the help desk has to look at the domain.",
	},
	{
		Code: CodeAppInstalled, Topic: TopicSettings, Title: "Settings cannot install the app for signing in",
		Cause:  "You have installed that app yourself before, and iOS does not take over an app of yours for work.",
		Remedy: "Delete the app, with the accounts in it, and begin again in Settings. It is installed anew on the way.",
	},
	{
		Code: CodeSettingsOnly, Status: http.StatusBadRequest, Topic: TopicSettings, Title: "This page belongs to Settings",
		Cause:  "The address is for a device that is being set up from Settings. In a browser it leads nowhere.",
		Remedy: "Open Settings > General > VPN & Device Management > Sign In to Work or School Account, and type your Managed Apple Account there.",
	},
	{
		Code: CodeWebSession, Status: http.StatusBadRequest, Topic: TopicSettings, Title: "This sign-in from Settings is over",
		Cause:  "Each sign-in from Settings works once, and has to be begun within a few minutes.",
		Remedy: "Close this page, and begin again in Settings.",
	},
	{
		Code: CodeOtherPerson, Status: http.StatusForbidden, Topic: TopicSettings, Title: "You signed in as somebody else",
		Cause:  "The account that you signed in with does not belong to the Managed Apple Account that you typed in Settings.",
		Remedy: "Close this page and begin again in Settings. Type your own Managed Apple Account, and sign in with the account that belongs to it.",
	},
	{
		Code: CodeAnotherPerson, Status: http.StatusForbidden, Topic: TopicSettings, Title: "This device is somebody else’s",
		Cause:  "The device was set up by another person, who has to sign in again here.",
		Remedy: "Sign in with the account that this device was set up with. To set it up for yourself, first remove the work account in Settings > General > VPN & Device Management.",
	},
	{
		Code: CodeNotOffered, Status: http.StatusForbidden, Topic: TopicSettings, Title: "That kind of management is not for you",
		Cause:  "Device Enrollment, in which the company manages the whole device, is offered to some groups only.",
		Remedy: "Set up your device as your own, which keeps work and private data apart. Ask the help desk if it belongs to the company.",
	},
	{
		Code: CodeEnrollmentEnded, Status: http.StatusGone, Topic: TopicSettings, Title: "This device is not managed any more",
		Cause:  "Its management was ended, by you or by the company.",
		Remedy: "Remove the work account in Settings > General > VPN & Device Management, then set the device up again.",
	},
	{
		Code: CodeClient, Status: http.StatusBadRequest, Title: "That did not come from Settings",
		Cause:  "The address names another application than the setup of devices, or another place to lead back to.",
		Remedy: "Begin again in Settings.",
	},

	{
		Code: CodeNoSession, Status: http.StatusUnauthorized, Again: true, Title: "You are not signed in",
		Cause:  "There is no session, or it has ended.",
		Remedy: "Sign in again.",
	},
	{
		Code: CodeTicketUnknown, Status: http.StatusGone, Again: true, Title: "Nothing was started here",
		Cause:  "There is no enrollment under way in this browser.",
		Remedy: "Sign in again.",
	},
	{
		Code: CodeTicketExpired, Status: http.StatusGone, Topic: TopicProfile, Again: true, Title: "Time is up",
		Cause:  "Too much time has passed since you signed in.",
		Remedy: "Sign in again. What you have done on the phone does no harm; a new profile replaces it.",
	},
	{
		Code: CodeTicketSuperseded, Status: http.StatusGone, Topic: TopicProfile, Again: true, Title: "A later sign-in took over",
		Cause:  "You signed in again in this browser. What was started before has ended.",
		Remedy: "Go on in the newer page, or sign in again.",
	},
	{
		Code: CodeTicketSpent, Status: http.StatusGone, Topic: TopicProfile, Again: true, Title: "This device is set up already",
		Cause:  "The profile did its work: the device is enrolled. It works for one device, once.",
		Remedy: "There is nothing left to do. Sign in again to set up another device.",
	},
	{
		Code: CodeTicketExhausted, Status: http.StatusGone, Topic: TopicProfile, Again: true, Title: "Downloaded too often",
		Cause:  "The profile was downloaded as often as one sign-in allows.",
		Remedy: "Sign in again.",
	},
	{
		Code: CodeChallenge, Topic: TopicInstall, Again: true, Title: "“The SCEP server returned an invalid response”",
		Cause:  "The profile waited too long, or a newer download replaced it.",
		Remedy: "Go back to this page, download the profile again, and install that one.",
	},
	{
		Code: CodeSigning, Status: http.StatusServiceUnavailable, Title: "Profiles cannot be made now",
		Cause:  "The certificate that signs profiles cannot be used.",
		Remedy: "Ask the help desk. It is a matter for the administrator, not for you.",
	},

	{
		Code: CodeProfileDeleted, Topic: TopicInstall, Title: "The profile is gone from Settings",
		Cause:  "iOS keeps a downloaded profile for eight minutes, and deletes it then. Another profile that you download replaces it, too.",
		Remedy: "Go back to this page in Safari and tap the button again. The eight minutes start anew.",
	},
	{
		Code: CodeProfileNotShown, Topic: TopicInstall, Title: "Settings shows no profile",
		Cause:  "Safari asked whether to allow the download, and it was not allowed; or Settings was open all the time.",
		Remedy: "Close Settings and open it again. If it is still not there, download the profile again and tap Allow.",
	},
	{
		Code: CodeAccountRefused, Topic: TopicInstall, Title: "Apple does not accept the account",
		Cause:  "The Managed Apple Account does not exist yet, is not connected to your work password, or another account was typed.",
		Remedy: "Type the account exactly as this page shows it, with your work password. If Apple still does not know it, ask the help desk to look it up in Apple Business Manager.",
	},
	{
		Code: CodeOtherManagement, Topic: TopicInstall, Title: "Another management profile is there",
		Cause:  "A device can be managed by one organization only, and this one is managed already.",
		Remedy: "Look in Settings > General > VPN & Device Management. Remove the other management there if you no longer need it, then download the profile again.",
	},
	{
		Code: CodeProfileFailed, Topic: TopicInstall, Title: "“Profile Installation Failed”",
		Cause:  "The device could not finish. After a failure nothing stays on it.",
		Remedy: "Go back to this page, download the profile again, and install it within eight minutes. If it fails again, tell the help desk the reference on the page.",
	},
	{
		Code: CodeNoNetwork, Topic: TopicInstall, Title: "The server cannot be reached",
		Cause:  "The device has no connection, or its network blocks this server or Apple’s.",
		Remedy: "Switch to mobile data or another Wi-Fi, then download the profile again.",
	},
	{
		Code: CodeClock, Topic: TopicInstall, Title: "Certificates are not valid yet, or no longer",
		Cause:  "Date and time of the device are wrong.",
		Remedy: "Switch on Settings > General > Date & Time > Set Automatically, then download the profile again.",
	},
	{
		Code: CodePolicyNotArrived, Topic: TopicInstall, Title: "Apps or sign-in do not arrive",
		Cause:  "They come a little after the device is set up, when it has a connection and is unlocked.",
		Remedy: "Unlock the device, connect it to Wi-Fi, and wait some minutes.",
	},

	{
		Code: CodeNotFound, Status: http.StatusNotFound, Title: "There is no such page",
		Cause: "The address leads nowhere.", Remedy: askAgain,
	},
	{
		Code: CodeMethod, Status: http.StatusMethodNotAllowed, Title: "That does not work here",
		Cause: "The address exists, but it is not used in this way.", Remedy: askAgain,
	},
	{
		Code: CodeBadRequest, Status: http.StatusBadRequest, Title: "The request is not readable",
		Cause: "The browser sent something that has no meaning here.", Remedy: askAgain,
	},
	{
		Code: CodeQueryTooLong, Status: http.StatusBadRequest, Title: "The address is too long",
		Cause: "The address has more than 8 KiB behind the question mark.", Remedy: askAgain,
	},
	{
		Code: CodeBodyTooLarge, Status: http.StatusRequestEntityTooLarge, Title: "The request is too large",
		Cause: "The browser sent more than 4 KiB.", Remedy: askAgain,
	},
	{
		Code: CodeEncoding, Status: http.StatusUnsupportedMediaType, Title: "The request is not readable",
		Cause: "The browser sent a body that is compressed, or is no form.", Remedy: askAgain,
	},
	{
		Code: CodeCrossSite, Status: http.StatusForbidden, Title: "That came from another website",
		Cause: "Another website tried to press a button here.", Remedy: askAgain,
	},
	{
		Code: CodeWrongHost, Status: http.StatusMisdirectedRequest, Title: "This is not our address",
		Cause:  "The request was for another host than this server's own.",
		Remedy: "Use the address that you were given. Administrators: a proxy in front has to pass the Host header on.",
	},
	{
		Code: CodeTooManyEvents, Status: http.StatusTooManyRequests, Title: "Too many open pages",
		Cause: "This session watches its progress in too many tabs.", Remedy: "Close the others and load the page again.",
	},
	{
		Code: CodeStorage, Status: http.StatusServiceUnavailable, Again: true, Title: "We cannot do that right now",
		Cause: "The server's database does not answer.", Remedy: "Try again in a minute. Nothing is lost.",
	},
	{
		Code: CodeInternal, Status: http.StatusInternalServerError, Title: "Something went wrong",
		Cause: "The server made a mistake.", Remedy: "Try again. If it happens again, tell the help desk the code and incident below.",
	},
}
