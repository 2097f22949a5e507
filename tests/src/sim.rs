//! One scenario, many worlds: the three real handlers in memory, under every fault that store and functions have, on
//! simulated time.
//!
//! ```text
//! seed -> Scenario: job, input, program, machines, faults    (scenario, faults)
//!      -> World: objects, clock, judge, trace                (world)
//!         Lambda: events late, twice, lost; time limits      (lambda)
//!           Life: one invocation, until it dies              (life)
//!             the real handler                               (handlers)
//!               its ports, where things go wrong             (objects, functions)
//!                 a guard that is broken, in a test of tests (mutation)
//!                   objects as they are, watched             (witness)
//!               its processes                                (programs)
//!      -> invariants: what must hold, whatever happened      (judge, invariants, reasons)
//! ```
//! All that a run does follows from its seed: one thread, tokio's clock paused, and every lot drawn from a generator of the
//! seed's own. So a seed that breaks an invariant is lived once more, and told line by line. The price is a second Lambda
//! beside the emulator's: that one is held to the protocols and runs real processes in real time; this one lives through hours in
//! milliseconds. What neither shows is a request that outlives its client: here, what is under way dies with who made it.

mod artefact;
mod clock;
mod faults;
mod functions;
mod handlers;
mod invariants;
mod judge;
mod lambda;
mod life;
mod mutation;
mod objects;
mod programs;
mod reasons;
mod scenario;
mod seeds;
mod told;
mod trace;
mod witness;
mod world;

pub use faults::{Fault, PerFault, Rates};
pub use judge::{Broken, Invariant};
pub use mutation::Mutation;
pub use scenario::{Failing, Format, How, Input, Machines, Program, Scenario, Surprise};
pub use seeds::{Go, Met, Ran, hold, run, run_all, story};
