//! A payload that waits in several queues, and counts once for the process.

use bytes::Bytes;

use super::budget::{Charge, QueueTotal};
use crate::sync::Arc;

struct Shared<P> {
    payload: P,
    /// Released when the last queue has dropped the payload.
    _charge: Charge,
}

impl<P: AsRef<[u8]>> AsRef<[u8]> for Shared<P> {
    fn as_ref(&self) -> &[u8] {
        self.payload.as_ref()
    }
}

/// Makes a payload count until it and all its parts are dropped.
pub(crate) fn charged<P>(total: &Arc<QueueTotal>, payload: P) -> Bytes
where
    P: AsRef<[u8]> + Send + 'static,
{
    let mut charge = Charge::new(total);
    charge.set(payload.as_ref().len());
    Bytes::from_owner(Shared { payload, _charge: charge })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_once_and_until_the_last_part_is_gone() {
        let total = Arc::new(QueueTotal::new(1000));
        let one = charged(&total, vec![7; 300]);
        let part = one.slice(100..110);
        let others = [one.clone(), one.clone()];
        assert_eq!((total.bytes(), &part[..]), (300, &[7; 10][..]));
        drop((one, others));
        assert_eq!(total.bytes(), 300);
        drop(part);
        assert_eq!(total.bytes(), 0);
    }
}
