//! What backends of tests have in common: nothing was seen.

/// Answers of a backend that knows of nothing, for those that a test does not ask for.
macro_rules! knows_nothing {
    () => {
        fn alerts(&self, _: $crate::serve::records::AlertQuery) -> Vec<$crate::alert::Alert> {
            Vec::new()
        }
        async fn identities(&self) -> Vec<$crate::census::IdentityRecord> {
            Vec::new()
        }
        async fn coverage(&self) -> Vec<$crate::coverage::CoverageRecord> {
            Vec::new()
        }
        fn probed(&self) -> Vec<$crate::serve::records::ProbedRecord> {
            Vec::new()
        }
        async fn send_test(
            &self,
            _: Option<String>,
        ) -> Vec<$crate::serve::records::DeliveryResult> {
            Vec::new()
        }
        fn dead_letters(&self) -> Vec<$crate::serve::records::DeadLetter> {
            Vec::new()
        }
        async fn replay(&self, _: Option<String>) -> Vec<$crate::serve::records::DeliveryResult> {
            Vec::new()
        }
    };
}

pub(crate) use knows_nothing;
