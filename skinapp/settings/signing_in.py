"""Settings: who gets in, and how; part of ``base``."""

from skinapp.settings.env import env

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "worklist"
ACCOUNT_ADAPTER = "classifier.accounts.ClosedSignupAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "reset_password": "20/m/ip,5/m/key",
    "reauthenticate": "10/m/user",
    "change_password": "5/m/user",
    "break_glass": "5/h/user",
}
# allauth counts attempts by address: how many proxies stand in front says which one to believe.
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
MFA_ADAPTER = "classifier.accounts.SealingAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Skinapp"
# Asking for a letter makes an address that nobody confirmed: a stranger could keep somebody from
# setting up a second factor. Accounts are made by administrators, who know the address.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {
    "add_webauthn": "classifier.forms.security_keys.AddKeyForm",
    "edit_webauthn": "classifier.forms.security_keys.RenameKeyForm",
    "authenticate_webauthn": "classifier.forms.security_keys.SecondStepKeyForm",
    "reauthenticate_webauthn": "classifier.forms.security_keys.ConfirmingKeyForm",
}
# Asked of whoever may enter the admin panel; a clinic may ask it of everybody who works there.
SECOND_FACTOR_FOR_STAFF = True
# How long somebody without a right to a patient may read the record in an emergency.
BREAK_GLASS_MINUTES = env.int("BREAK_GLASS_MINUTES", default=60)
# How long the address of a picture works after the page that holds it was made.
IMAGE_LINK_MINUTES = env.int("IMAGE_LINK_MINUTES", default=15)
