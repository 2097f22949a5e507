//! The program `fanfold`: the job on a laptop, and the way to a deployed stack.
