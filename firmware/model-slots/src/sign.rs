//! Whose models a device takes: anyone's, or those that one key has signed.

use crate::header::SIGNATURE_BYTES;

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureFault {
    /// The device takes signed models only, and this one came without a signature.
    Missing,
    /// The signature is not that of these bytes by the device's key.
    Wrong,
}

/// Whose models a device takes.
#[derive(Clone, Copy, Debug, Default)]
pub enum Trust {
    /// Every whole model. Signatures are kept beside it and not looked at.
    #[default]
    Anyone,
    /// Models that the holder of this ed25519 key has signed.
    #[cfg(feature = "ed25519")]
    Key([u8; PUBLIC_KEY_BYTES]),
}

/// Bytes of an ed25519 public key.
#[cfg(feature = "ed25519")]
pub const PUBLIC_KEY_BYTES: usize = 32;

impl Trust {
    /// Whether signatures are verified here.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        !matches!(self, Self::Anyone)
    }

    /// Begins to verify a model that comes with `signature`.
    pub(crate) fn begin(
        &self,
        signature: Option<&[u8; SIGNATURE_BYTES]>,
    ) -> Result<Verification, SignatureFault> {
        match self {
            Self::Anyone => {
                let _ = signature;
                Ok(Verification::default())
            }
            #[cfg(feature = "ed25519")]
            Self::Key(key) => {
                let signature = signature.ok_or(SignatureFault::Missing)?;
                let signature = ed25519_compact::Signature::new(*signature);
                let state = ed25519_compact::PublicKey::new(*key).verify_incremental(&signature);
                Ok(Verification { state: Some(state.map_err(|_| SignatureFault::Wrong)?) })
            }
        }
    }
}

/// A verification that takes the model piece by piece.
#[derive(Default)]
pub(crate) struct Verification {
    /// Nothing where every model is taken.
    #[cfg(feature = "ed25519")]
    state: Option<ed25519_compact::VerifyingState>,
}

impl Verification {
    /// The next bytes of the model.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        #[cfg(feature = "ed25519")]
        if let Some(state) = &mut self.state {
            state.absorb(bytes);
        }
        let _ = bytes;
    }

    /// Whether the signature is that of all the bytes.
    pub(crate) fn finish(self) -> Result<(), SignatureFault> {
        #[cfg(feature = "ed25519")]
        if let Some(state) = self.state {
            return state.verify().map_err(|_| SignatureFault::Wrong);
        }
        Ok(())
    }
}
