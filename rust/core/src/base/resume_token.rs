//! The token of a session: what a client shows to get its session back on a new connection (docs/protocol.md).

use std::fmt;
use std::hint::black_box;

/// A token: which session, and the proof.
///
/// It is printed only where it is sent: `Debug` hides the secret.
#[derive(Clone, Copy)]
pub(crate) struct ResumeToken {
    /// Names the session; the same in all tokens of a session.
    pub(crate) handle: u64,
    secret: u128,
}

impl ResumeToken {
    /// Makes the first token of a session.
    pub(crate) fn random() -> Self {
        Self { handle: rand::random(), secret: rand::random() }
    }

    /// Makes another token of the same session.
    pub(crate) fn renewed(self) -> Self {
        Self { secret: rand::random(), ..self }
    }

    /// Compares two tokens, in a time that does not depend on where they differ.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let differs = u128::from(self.handle ^ other.handle) | (self.secret ^ other.secret);
        black_box(differs) == 0
    }

    /// Reads a token: 48 hexadecimal digits in lower case.
    pub(crate) fn parse(digits: &str) -> Option<Self> {
        let canonical = digits.len() == HANDLE + SECRET
            && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let (handle, secret) = digits.split_at_checked(HANDLE).filter(|_| canonical)?;
        Some(Self {
            handle: u64::from_str_radix(handle, 16).ok()?,
            secret: u128::from_str_radix(secret, 16).ok()?,
        })
    }

    /// Returns the digits.
    pub(crate) fn digits(&self) -> String {
        format!("{:016x}{:032x}", self.handle, self.secret)
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumeToken({:016x}..)", self.handle)
    }
}

/// Digits of the handle and of the secret.
const HANDLE: usize = 16;
const SECRET: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_are_read_back() {
        let token = ResumeToken { handle: 7, secret: 0xabc };
        let digits = "000000000000000700000000000000000000000000000abc";
        assert_eq!(token.digits(), digits);
        assert!(ResumeToken::parse(digits).is_some_and(|read| read.is(&token)));
        let random = ResumeToken::random();
        assert!(ResumeToken::parse(&random.digits()).is_some_and(|read| read.is(&random)));
        assert!(!format!("{token:?}").contains("abc"));
    }

    #[test]
    fn a_token_has_one_form() {
        let digits = ResumeToken::random().digits();
        for wrong in ["", "0", &digits[1..], &format!("{digits}0"), &digits.replacen(|_| true, "A", 1)] {
            assert!(ResumeToken::parse(wrong).is_none(), "{wrong:?}");
        }
        assert!(
            ResumeToken::parse(&"+".repeat(48)).is_none() && ResumeToken::parse(&"é".repeat(24)).is_none()
        );
    }

    #[test]
    fn another_secret_or_session_is_another_token() {
        let token = ResumeToken::random();
        let renewed = token.renewed();
        assert_eq!(token.handle, renewed.handle);
        assert!(!token.is(&renewed) && token.is(&token));
        assert!(!token.is(&ResumeToken { handle: token.handle ^ 1, ..token }));
    }
}
