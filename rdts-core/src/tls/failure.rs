//! Why TLS did not come about, in words that say who has to do what.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use super::TlsOptions;
use crate::error::{Error, ErrorKind};

/// What `error` of a handshake means.
pub(super) fn of_handshake(error: io::Error, options: &TlsOptions) -> Error {
    let Some(cause) = cause(&error) else {
        let kind = match error.kind() {
            // Whoever does not like what is said to him in the first place hangs up.
            io::ErrorKind::UnexpectedEof => ErrorKind::Disconnected,
            _ => ErrorKind::Connect,
        };
        return Error::new(kind, "the connection broke during the TLS handshake").with_source(error);
    };
    let text = match cause {
        rustls::Error::InvalidCertificate(certificate) => of_certificate(certificate, options),
        rustls::Error::AlertReceived(alert) => of_alert(*alert, options),
        rustls::Error::InvalidMessage(_) => NO_TLS.to_owned(),
        rustls::Error::PeerIncompatible(_) => NOTHING_IN_COMMON.to_owned(),
        rustls::Error::NoCertificatesPresented => "the server shows no certificate".to_owned(),
        _ => "the TLS handshake failed".to_owned(),
    };
    Error::new(ErrorKind::Tls, text).with_source(error)
}

/// What a server that spoke TLS says of us; `None` if `error` is of another sort. With TLS 1.3 it does so only after the handshake, as
/// seen from here, is over.
pub(crate) fn refusal(error: &io::Error, options: &TlsOptions) -> Option<Error> {
    match cause(error) {
        Some(rustls::Error::AlertReceived(alert)) if is_of_certificates(*alert) => {
            // An `io::Error` cannot be cloned, and what it says is this.
            Some(Error::new(ErrorKind::Tls, of_alert(*alert, options)).with_source(format!("TLS alert {alert:?}")))
        }
        _ => None,
    }
}

/// Whether only somebody who speaks TLS can have brought `error` about.
pub(super) fn is_of_tls(error: &io::Error) -> bool {
    use rustls::Error::{AlertReceived, InvalidCertificate, PeerIncompatible};
    matches!(cause(error), Some(InvalidCertificate(_) | AlertReceived(_) | PeerIncompatible(_)))
}

/// That a server answers in clear what was asked by TLS.
pub(crate) const NO_TLS: &str =
    "this port speaks no TLS: use the server's tls-port, or a URL without the second 's' (redis://)";

const NOTHING_IN_COMMON: &str =
    "the server speaks no version or cipher of TLS that is safe: TLS 1.2 or 1.3 is needed (tls-protocols, tls-ciphers)";

fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn of_certificate(error: &CertificateError, options: &TlsOptions) -> String {
    match error {
        CertificateError::Expired => expired(""),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = Duration::from_secs(time.as_secs().saturating_sub(not_after.as_secs()));
            expired(&format!(" {} ago", rough(since)))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: look at the clocks of both machines".to_owned()
        }
        CertificateError::NotValidForName => wrong_name("another name", ""),
        CertificateError::NotValidForNameContext { expected, presented } => {
            wrong_name(&presented.join(", "), &format!(", not for {}", expected.to_str()))
        }
        CertificateError::Revoked => "the server's certificate was revoked".to_owned(),
        // A certificate that vouches for itself is either.
        CertificateError::UnknownIssuer | CertificateError::Other(_) => {
            let trusted = match &options.ca {
                Some(file) => format!("the CA in {}", file.display()),
                None => "any CA that this machine trusts".to_owned(),
            };
            format!("the server's certificate was not issued by {trusted}: name its CA by ca=PATH")
        }
        CertificateError::BadSignature => {
            "the server's certificate was not signed by the CA that it names: is ca=PATH of an older CA of that name?"
                .to_owned()
        }
        _ => "the server's certificate cannot be trusted".to_owned(),
    }
}

fn expired(when: &str) -> String {
    format!("the server's certificate expired{when}: it has to be renewed there (tls-cert-file)")
}

fn wrong_name(names: &str, expected: &str) -> String {
    format!(
        "the server's certificate is for {names}{expected}: connect to a name that it is for, or say it by server-name=NAME"
    )
}

fn is_of_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
    )
}

fn of_alert(alert: AlertDescription, options: &TlsOptions) -> String {
    let ours = options.identity.as_ref().map(|(certificate, _)| certificate.display());
    match (alert, ours) {
        (alert, None) if is_of_certificates(alert) => {
            "the server wants a client certificate (tls-auth-clients): name one by cert=PATH&key=PATH".to_owned()
        }
        (AlertDescription::UnknownCA, Some(ours)) => {
            format!(
                "the server does not trust the CA of the client certificate {ours}: it has to be one of its tls-ca-cert-file"
            )
        }
        (AlertDescription::CertificateExpired, Some(ours)) => {
            format!("the client certificate {ours} has expired: renew it")
        }
        (alert, Some(ours)) if is_of_certificates(alert) => format!("the server refuses the client certificate {ours}"),
        (AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity, _) => NOTHING_IN_COMMON.to_owned(),
        (AlertDescription::UnrecognisedName, _) => {
            "the server knows nobody of the name that it was asked for: say another by server-name=NAME".to_owned()
        }
        _ => "the server broke off the TLS handshake".to_owned(),
    }
}

/// `3 days`
fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rough() {
        let text = |seconds| rough(Duration::from_secs(seconds));
        assert_eq!(
            [text(1), text(119), text(7199), text(7200), text(200_000)],
            ["1 second", "119 seconds", "119 minutes", "2 hours", "2 days"]
        );
    }

    #[test]
    fn alerts_speak_of_the_certificate_that_was_shown() {
        let alert = |alert, options: &TlsOptions| {
            let error = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::AlertReceived(alert));
            refusal(&error, options).map(|error| (error.kind(), error.to_string()))
        };
        let (nobody, somebody) = (TlsOptions::default(), TlsOptions::default().identity("mine.pem", "mine.key"));
        for (description, options, words) in [
            (AlertDescription::CertificateRequired, &nobody, "wants a client certificate"),
            (AlertDescription::HandshakeFailure, &nobody, "wants a client certificate"),
            (AlertDescription::UnknownCA, &somebody, "does not trust the CA of the client certificate mine.pem"),
            (AlertDescription::CertificateExpired, &somebody, "mine.pem has expired"),
            (AlertDescription::BadCertificate, &somebody, "refuses the client certificate mine.pem"),
        ] {
            let (kind, text) = alert(description, options).unwrap_or((ErrorKind::Io, String::new()));
            assert!(kind == ErrorKind::Tls && text.contains(words), "{description:?}: {text}");
        }
        // What ends a connection that was well is no matter of certificates.
        assert!(alert(AlertDescription::CloseNotify, &nobody).is_none());
        assert!(refusal(&io::ErrorKind::ConnectionReset.into(), &nobody).is_none());
    }
}
