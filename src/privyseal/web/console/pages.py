"""Every page: to add one, write its file and template, and add a line here."""

from __future__ import annotations

from privyseal.web.console import allow, enter, means, provider, sessions, welcome
from privyseal.web.console.visit import Page

PAGES: tuple[Page, ...] = (
    Page("GET", "/console/", means.home, navigation="Overview"),
    Page("GET", "/console/welcome", welcome.show, "anybody"),
    Page("POST", "/console/welcome/password", welcome.password, "anybody"),
    Page("POST", "/console/welcome/passkey", welcome.passkey, "anybody"),
    Page("GET", "/console/sign-in", enter.show, "anybody"),
    Page("POST", "/console/sign-in/password", enter.password, "anybody"),
    Page("POST", "/console/sign-in/passkey", enter.passkey, "anybody"),
    Page("GET", "/console/provider", provider.leave, "anybody"),
    Page("GET", "/console/provider/callback", provider.come_back, "anybody"),
    Page("GET", "/console/second-factor", enter.second, "half signed in"),
    Page("POST", "/console/second-factor/passkey", enter.second_passkey, "half signed in"),
    Page("POST", "/console/second-factor/code", enter.second_code, "half signed in"),
    Page("POST", "/console/sign-out", enter.sign_out, "half signed in"),
    Page("GET", "/console/security", means.show, navigation="Sign-in and security"),
    Page("POST", "/console/security/password", means.password),
    Page("POST", "/console/security/passkey", means.passkey),
    Page("POST", "/console/security/passkey/remove", means.remove_passkey),
    Page("POST", "/console/security/app", means.begin_app),
    Page("POST", "/console/security/app/confirm", means.confirm_app),
    Page("POST", "/console/security/recovery-codes", means.recovery_codes),
    Page("GET", "/console/sessions", sessions.show, navigation="Sessions"),
    Page("POST", "/console/sessions/end", sessions.end),
    Page("POST", "/console/sessions/end-others", sessions.end_others),
    Page("GET", "/console/allow", allow.show),
    Page("POST", "/console/allow", allow.answer),
    Page("GET", "/console/device", allow.device),
    Page("POST", "/console/device/look", allow.look),
    Page("POST", "/console/device", allow.answer_device),
)
"""Method, path, function, who is let in, and its name in the navigation."""

SAID: dict[str, str] = {
    "password-set": "Your password is set. Other sessions have ended.",
    "passkey-added": "Your passkey is enrolled.",
    "passkey-removed": "The passkey is removed.",
    "confirmed": "You have confirmed who you are.",
    "session-ended": "The session has ended.",
    "others-ended": "All other sessions have ended.",
    "signed-out": "You are signed out.",
    "command-line-in": "The command line is let in. You can close this page.",
    "command-line-refused": "The command line is not let in.",
}
"""What a page says after a form went well, by the word in ``?said=``: nobody else can put words into our mouth."""
