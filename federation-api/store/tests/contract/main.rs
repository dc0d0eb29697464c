//! The contract of `Store`, written once against `dyn Store`; every implementation runs every case.
//!
//! The cases are those of Kubernetes' `apiserver/pkg/storage/testing` that belong to this layer:
//!
//! | upstream | here |
//! |---|---|
//! | Create, CreateWithKeyExist | `write::create*` |
//! | Get | `read::get_*` |
//! | UnconditionalDelete, ConditionalDelete, DeleteWithSuggestion, …AndConflict, …OfDeletedObject, DeleteWithConflict, ValidateDeletion…, PreconditionalDelete… | `write::delete_*` (suggestions and preconditions are a caller's read and one `Cond::ModRev`) |
//! | GuaranteedUpdate, …WithConflict, …WithSuggestionAndConflict, …ChecksStoredData | `write::update_*`, `write::racing_*` |
//! | List, ConsistentList, GetListRecursivePrefix, ListPaging, ListContinuation, ListInconsistentContinuation, ListResourceVersionMatch, CompactRevision | `read::*`, `history::*` |
//! | KeySchema | `write::refuses_*` (names and resource prefixes are checked above) |
//! | Watch, WatchFromZero, WatchFromNonZero, DelayedWatchDelivery, DeleteTriggerWatch, WatchDeleteEventObjectHaveLatestRV, WatchContextCancel, WatcherTimeout, ProgressNotify, ErrorIsBlockingFurtherEvents | `watching::*` |
//!
//! The others belong to the cache above: TTLs, selectors and their continuation (ListContinuationWithFilter,
//! ListPaginationRareObject), GetListNonRecursive, Stats, transformers and corrupt objects
//! (TransformationFailure, …TransformOrDecodeError, …ErrorAggregation, WatchWithUnsafeDelete, WatchError),
//! namespace and cluster scopes (NamespaceScopedList, ClusterScopedWatch, NamespaceScopedWatch),
//! bookmarks and initial events (WatchDispatchBookmarkEvents, WatchBookmarksWithCorrectResourceVersion,
//! SendInitialEventsBackwardCompatibility, WatchSemantics, …InitialEventsExtended, WatchListMatchSingle,
//! WatchInitializationSignal).
#![allow(clippy::unwrap_used)]

mod fixture;
mod history;
mod read;
mod reopen;
mod watching;
mod write;

/// Runs every case on every implementation.
macro_rules! contract {
    ($($module:ident: $($case:ident)*;)*) => {
        mod in_memory {
            $($(#[tokio::test]
            async fn $case() {
                super::$module::$case(super::fixture::in_memory()).await;
            })*)*
        }
        mod in_a_file {
            $($(#[tokio::test]
            async fn $case() {
                let (store, _dir) = super::fixture::in_a_file();
                super::$module::$case(store).await;
            })*)*
        }
    };
}

contract! {
    write:
        create_is_there_and_has_its_revision
        create_of_an_existing_key_fails_and_says_what_is_there
        update_keeps_the_create_revision
        update_with_a_stale_revision_fails_and_says_what_is_there
        update_of_an_absent_key_fails
        racing_updates_lose_nothing
        racing_creates_have_one_winner
        delete_unconditionally
        delete_with_a_stale_revision_fails_and_says_what_is_there
        delete_of_a_recreated_key_fails
        delete_of_what_is_absent_changes_nothing
        several_keys_are_one_revision_or_nothing
        conditions_on_other_keys_guard_a_change
        a_transaction_without_operations_compares
        refuses_keys_that_are_empty_or_too_long
        refuses_values_that_are_too_long
        refuses_transactions_that_are_too_long
        refuses_a_key_twice
        keys_and_values_are_any_bytes;
    read:
        get_of_an_absent_key_tells_the_revision
        snapshot_is_ordered_and_below_the_prefix
        snapshot_of_prefixes_with_the_highest_byte
        pages_continue_where_the_last_one_ended
        pages_of_any_size_add_up
        a_page_may_start_after_a_key_that_is_gone
        snapshot_is_consistent_with_acknowledged_writes;
    history:
        snapshot_of_the_past_undoes_what_came_later
        pages_at_one_revision_ignore_later_writes
        snapshot_of_the_future_is_refused
        compacted_revisions_are_refused_and_say_what_is_left
        compaction_keeps_the_newest_values
        compaction_of_the_future_is_refused
        a_watch_of_compacted_revisions_is_refused
        revisions_that_never_were_are_refused
        history_is_bounded_by_count;
    watching:
        from_zero_everything_is_told
        from_the_past_what_came_later_is_told
        from_now_only_news_are_told
        events_carry_what_was_there_before
        a_delete_event_has_the_revision_of_the_delete
        only_the_prefix_is_told
        a_transaction_is_told_as_one
        what_does_not_match_is_told_as_progress
        from_the_future_is_refused
        a_watcher_that_was_away_reads_on_without_a_gap
        writers_and_watchers_race_without_gap_or_duplicate
        a_dropped_watch_bothers_nobody
        a_watch_that_nobody_polls_bothers_nobody
        closing_ends_watches;
}
