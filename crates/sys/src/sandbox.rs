//! The two walls a process can build around itself: Landlock (no files, no TCP connections) and
//! seccomp (no system calls but those listed, or none of those listed). Neither can be taken down
//! again. Both are to be raised before threads start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Why a wall could not be raised.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel refused the Landlock rules.
    #[error("Landlock rules were refused")]
    Landlock(#[source] landlock::RulesetError),
    /// A directory that shall stay reachable cannot be opened.
    #[error("Landlock: cannot open {0}")]
    Path(PathBuf, #[source] landlock::PathFdError),
    /// The system call filter is wrong or was refused.
    #[error("seccomp filter was refused")]
    Seccomp(#[source] seccompiler::Error),
    /// There is no filter for this machine's architecture.
    #[error("no seccomp filter for this architecture")]
    Architecture,
}

/// What stays reachable behind Landlock.
#[derive(Debug, Default, Clone)]
pub struct Landlock {
    /// Files and directories that may be read.
    pub read: Vec<PathBuf>,
    /// Directories below which everything may be done.
    pub write: Vec<PathBuf>,
    /// Whether TCP connections may be made and ports be bound.
    pub tcp: bool,
}

/// How much of Landlock the kernel knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// Everything asked for.
    Full,
    /// An older kernel: some of it.
    Partial,
    /// None: the kernel has no Landlock or it is switched off.
    None,
}

impl Landlock {
    /// Raises the wall, as high as this kernel can.
    ///
    /// # Errors
    /// When a path of the lists cannot be opened or the kernel refuses the rules.
    pub fn apply(&self) -> Result<Strength, SandboxError> {
        let abi = ABI::V6;
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))
            .and_then(|ruleset| ruleset.scope(Scope::AbstractUnixSocket))
            .map_err(SandboxError::Landlock)?;
        if !self.tcp {
            ruleset = ruleset.handle_access(AccessNet::from_all(abi)).map_err(SandboxError::Landlock)?;
        }
        let mut created = ruleset.create().map_err(SandboxError::Landlock)?;
        for (paths, access) in
            [(&self.read, AccessFs::from_read(abi)), (&self.write, AccessFs::from_all(abi))]
        {
            for path in paths {
                let opened = PathFd::new(path).map_err(|error| SandboxError::Path(path.clone(), error))?;
                let rule = PathBeneath::new(opened, access);
                created = created.add_rule(rule).map_err(SandboxError::Landlock)?;
            }
        }
        let status = created.restrict_self().map_err(SandboxError::Landlock)?;
        Ok(match status.ruleset {
            RulesetStatus::FullyEnforced => Strength::Full,
            RulesetStatus::PartiallyEnforced => Strength::Partial,
            RulesetStatus::NotEnforced => Strength::None,
        })
    }
}

/// A system call's number, from [`call`].
pub type Call = i64;

/// The numbers of system calls, by libc's names.
pub mod call {
    pub use libc::*;
}

/// Rules over system calls.
#[derive(Debug, Clone)]
pub struct Filter {
    rules: BTreeMap<Call, Vec<SeccompRule>>,
    on_listed: SeccompAction,
    on_others: SeccompAction,
}

impl Filter {
    /// Permits `calls` and nothing else: any other fails with `EPERM`.
    pub fn permit(calls: &[Call]) -> Self {
        Self {
            rules: calls.iter().map(|&call| (call, Vec::new())).collect(),
            on_listed: SeccompAction::Allow,
            on_others: SeccompAction::Errno(libc::EPERM as u32),
        }
    }

    /// Forbids `calls` with `EPERM` and permits everything else.
    pub fn forbid(calls: &[Call]) -> Self {
        Self {
            rules: calls.iter().map(|&call| (call, Vec::new())).collect(),
            on_listed: SeccompAction::Errno(libc::EPERM as u32),
            on_others: SeccompAction::Allow,
        }
    }

    /// Lists `call` only where its argument number `argument` (from 0) is one of `values`.
    ///
    /// # Errors
    /// For an argument number above 5.
    pub fn with_argument(mut self, call: Call, argument: u8, values: &[u64]) -> Result<Self, SandboxError> {
        let rules = values.iter().map(|&value| {
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
                .and_then(|condition| SeccompRule::new(vec![condition]))
                .map_err(|error| SandboxError::Seccomp(error.into()))
        });
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        self.rules.insert(call, rules);
        Ok(self)
    }

    /// Lists `call` only where all `bits` of its argument number `argument` are zero.
    ///
    /// # Errors
    /// For an argument number above 5.
    pub fn with_zero_bits(mut self, call: Call, argument: u8, bits: u64) -> Result<Self, SandboxError> {
        let condition =
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), 0)
                .and_then(|condition| SeccompRule::new(vec![condition]))
                .map_err(|error| SandboxError::Seccomp(error.into()))?;
        self.rules.insert(call, vec![condition]);
        Ok(self)
    }

    /// Puts the filter in force for this thread and all that it starts. `no_new_privs` must be set.
    ///
    /// # Errors
    /// When the kernel refuses it or the architecture is not known.
    pub fn apply(self) -> Result<(), SandboxError> {
        let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(|_| SandboxError::Architecture)?;
        let program: BpfProgram = SeccompFilter::new(self.rules, self.on_others, self.on_listed, arch)
            .and_then(TryInto::try_into)
            .map_err(|error| SandboxError::Seccomp(error.into()))?;
        seccompiler::apply_filter(&program).map_err(SandboxError::Seccomp)
    }
}
