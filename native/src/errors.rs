//! Typed failures, and the wall that keeps engine panics out of Python.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;
use std::thread;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::{PyErr, create_exception};

create_exception!(
    zkevm_native,
    EngineError,
    PyException,
    "Base class of every error raised by this module."
);
create_exception!(
    zkevm_native,
    CircuitError,
    EngineError,
    "The circuit document is malformed or outside the proven limits."
);
create_exception!(
    zkevm_native,
    ParameterError,
    EngineError,
    "A scalar argument is out of range."
);
create_exception!(
    zkevm_native,
    KeyFormatError,
    EngineError,
    "The bytes are not a verifying key."
);
create_exception!(
    zkevm_native,
    TraceError,
    EngineError,
    "A trace or a list of public values does not fit its table."
);
create_exception!(
    zkevm_native,
    ProvingError,
    EngineError,
    "The engine could not produce a proof."
);
create_exception!(
    zkevm_native,
    ProofFormatError,
    EngineError,
    "The bytes are not the canonical encoding of a proof for this key."
);
create_exception!(
    zkevm_native,
    VerificationError,
    EngineError,
    "The proof is well formed but does not verify."
);

/// Which Python exception a [`Failure`] becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Circuit,
    Parameter,
    KeyFormat,
    Trace,
    Proving,
    ProofFormat,
    Verification,
}

/// An error on its way to Python. It holds no Python object, so it can be built without the GIL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
}

pub type Outcome<T> = Result<T, Failure>;

impl Kind {
    pub fn fail<T>(self, message: impl fmt::Display) -> Outcome<T> {
        Err(self.failure(message))
    }

    pub fn failure(self, message: impl fmt::Display) -> Failure {
        Failure {
            kind: self,
            message: message.to_string(),
        }
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        let message = failure.message;
        match failure.kind {
            Kind::Circuit => CircuitError::new_err(message),
            Kind::Parameter => ParameterError::new_err(message),
            Kind::KeyFormat => KeyFormatError::new_err(message),
            Kind::Trace => TraceError::new_err(message),
            Kind::Proving => ProvingError::new_err(message),
            Kind::ProofFormat => ProofFormatError::new_err(message),
            Kind::Verification => VerificationError::new_err(message),
        }
    }
}

/// Runs `work` and turns a panic into a failure of the given kind.
///
/// Everything reachable from `work` is either owned by it or immutable, so no broken invariant can
/// be observed after the unwinding.
pub fn guard<T>(kind: Kind, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    silence_panics();
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome,
        Err(payload) => kind.fail(format_args!("engine panic: {}", panic_text(&*payload))),
    }
}

/// Runs `work` on a thread of its own with a stack of [`STACK_BYTES`].
///
/// The engine walks expression trees recursively; their depth is bounded when a circuit or a key is
/// read, but not by what the calling thread happens to have left.
pub fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let handle = thread::Builder::new()
            .name("zkevm-engine".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .expect("cannot start a thread");
        handle
            .join()
            .unwrap_or_else(|payload| resume_unwind(payload))
    })
}

/// Stack of every thread that runs engine code. Address space only: pages are touched on demand.
pub const STACK_BYTES: usize = 128 << 20;

fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

/// The text of a panic reaches the caller inside an exception; printing it as well would only
/// clutter the standard error of a verifier that is fed garbage.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("EngineError", py.get_type::<EngineError>())?;
    module.add("CircuitError", py.get_type::<CircuitError>())?;
    module.add("ParameterError", py.get_type::<ParameterError>())?;
    module.add("KeyFormatError", py.get_type::<KeyFormatError>())?;
    module.add("TraceError", py.get_type::<TraceError>())?;
    module.add("ProvingError", py.get_type::<ProvingError>())?;
    module.add("ProofFormatError", py.get_type::<ProofFormatError>())?;
    module.add("VerificationError", py.get_type::<VerificationError>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_failures() {
        let caught = guard::<()>(Kind::Proving, || panic!("row {}", 7));
        assert_eq!(
            caught,
            Kind::Proving.fail(format_args!("engine panic: row 7"))
        );
        let caught = guard::<()>(Kind::Verification, || on_big_stack(|| panic!("deep")));
        assert_eq!(
            caught,
            Kind::Verification.fail(format_args!("engine panic: deep"))
        );
    }
}
