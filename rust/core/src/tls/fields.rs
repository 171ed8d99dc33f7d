//! The fields of a certificate that are verified here.

use rustls::pki_types::CertificateDer;
use x509_cert::der::{self, AnyRef, Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

/// The fields as they are encoded. All others may contain anything, and so may the extensions if nobody asks for them: one in 512 certificates
/// that the engine makes has a serial number with a zero in front, which DER forbids, and those of X.509 version 1 have no version.
pub(super) struct Fields<'a> {
    pub(super) validity: AnyRef<'a>,
    pub(super) subject: AnyRef<'a>,
    pub(super) public_key: AnyRef<'a>,
    /// What comes behind the public key.
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Finds the fields in a certificate of any version (RFC 5280 section 4.1).
    pub(super) fn of(certificate: &'a CertificateDer<'_>) -> der::Result<Self> {
        let outer = AnyRef::decode(&mut SliceReader::new(certificate)?)?;
        let inner = sequence(&mut SliceReader::new(outer.value())?)?;
        let mut fields = SliceReader::new(inner.value())?;
        if fields.peek_tag()? == explicit(0) {
            AnyRef::decode(&mut fields)?;
        }
        // Serial number, signature, issuer.
        for _ in 0..3 {
            AnyRef::decode(&mut fields)?;
        }
        let (validity, subject) = (AnyRef::decode(&mut fields)?, AnyRef::decode(&mut fields)?);
        let public_key = sequence(&mut fields)?;
        let rest = fields.read_slice(fields.remaining_len())?;
        Ok(Self { validity, subject, public_key, rest })
    }

    pub(super) fn extensions(&self) -> der::Result<Option<AnyRef<'a>>> {
        let mut fields = SliceReader::new(self.rest)?;
        while !fields.is_finished() {
            let field = AnyRef::decode(&mut fields)?;
            if field.tag() == explicit(3) {
                return sequence(&mut SliceReader::new(field.value())?).map(Some);
            }
        }
        Ok(None)
    }
}

fn explicit(number: u8) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber::new(number) }
}

/// Reads a value that has to be a sequence.
pub(super) fn sequence<'a>(reader: &mut impl Reader<'a>) -> der::Result<AnyRef<'a>> {
    let any = AnyRef::decode(reader)?;
    if any.tag() == Tag::Sequence { Ok(any) } else { Err(any.tag().value_error()) }
}
