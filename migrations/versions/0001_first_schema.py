"""The first schema."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Frozen text: later changes of the models must not change what this migration made.
STATEMENTS = (
    """
    CREATE TABLE content (
        content_id INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        md5 BLOB NOT NULL,
        size INTEGER NOT NULL,
        n_files INTEGER DEFAULT 0 NOT NULL,
        n_bytes INTEGER DEFAULT 0 NOT NULL,
        n_allocated INTEGER DEFAULT 0 NOT NULL,
        keep_bytes INTEGER DEFAULT 0 NOT NULL,
        keep_allocated INTEGER DEFAULT 0 NOT NULL,
        reclaimable INTEGER DEFAULT 0 NOT NULL,
        CONSTRAINT pk_content PRIMARY KEY (content_id),
        CONSTRAINT uq_content_sha256 UNIQUE (sha256)
    )
     STRICT
    """,
    """CREATE INDEX ix_content_group ON content (reclaimable, content_id) WHERE n_files > 1""",
    """
    CREATE TABLE daemon (
        daemon_id INTEGER NOT NULL,
        pid INTEGER NOT NULL,
        host TEXT NOT NULL,
        version TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        heartbeat_ms INTEGER NOT NULL,
        status TEXT NOT NULL,
        CONSTRAINT pk_daemon PRIMARY KEY (daemon_id)
    )
     STRICT
    """,
    """
    CREATE TABLE epoch (
        epoch_id INTEGER NOT NULL,
        spec INTEGER NOT NULL,
        digest BLOB NOT NULL,
        CONSTRAINT pk_epoch PRIMARY KEY (epoch_id)
    )
     STRICT
    """,
    """
    CREATE TABLE event (
        event_id INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        root_id INTEGER,
        file_id INTEGER,
        from_rev_id INTEGER,
        to_rev_id INTEGER,
        run_id INTEGER,
        actor TEXT,
        detail TEXT,
        CONSTRAINT pk_event PRIMARY KEY (event_id)
    )
     STRICT
    """,
    """CREATE INDEX ix_event_file ON event (file_id) WHERE file_id IS NOT NULL""",
    """
    CREATE TABLE file_check (
        file_id INTEGER NOT NULL,
        verified_ms INTEGER NOT NULL,
        run_id INTEGER,
        audited_ms INTEGER,
        CONSTRAINT pk_file_check PRIMARY KEY (file_id)
    )
     STRICT
    """,
    """
    CREATE TABLE evidence (
        file_id INTEGER NOT NULL,
        check_no INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        how INTEGER NOT NULL,
        result INTEGER NOT NULL,
        rev_id INTEGER,
        sha256 BLOB,
        run_id INTEGER,
        detail TEXT,
        CONSTRAINT pk_evidence PRIMARY KEY (file_id, check_no)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """
    CREATE TABLE ifd_tag (
        content_id INTEGER NOT NULL,
        ifd_no INTEGER NOT NULL,
        tagval_id INTEGER NOT NULL,
        CONSTRAINT pk_ifd_tag PRIMARY KEY (content_id, ifd_no, tagval_id)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """CREATE INDEX ix_ifd_tag_tagval ON ifd_tag (tagval_id)""",
    """
    CREATE TABLE layout (
        layout_id INTEGER NOT NULL,
        value TEXT NOT NULL,
        CONSTRAINT pk_layout PRIMARY KEY (layout_id),
        CONSTRAINT uq_layout_value UNIQUE (value)
    )
     STRICT
    """,
    """
    CREATE TABLE page (
        content_id INTEGER NOT NULL,
        epoch_id INTEGER NOT NULL,
        page_no INTEGER NOT NULL,
        role INTEGER NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        model TEXT NOT NULL,
        dtype TEXT NOT NULL,
        channels INTEGER NOT NULL,
        pixels BLOB,
        "view" BLOB,
        CONSTRAINT pk_page PRIMARY KEY (content_id, epoch_id, page_no)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """
    CREATE TABLE raster (
        raster_id INTEGER NOT NULL,
        level INTEGER NOT NULL,
        class INTEGER NOT NULL,
        digest BLOB NOT NULL,
        n_files INTEGER DEFAULT 0 NOT NULL,
        n_bytes INTEGER DEFAULT 0 NOT NULL,
        n_allocated INTEGER DEFAULT 0 NOT NULL,
        keep_bytes INTEGER DEFAULT 0 NOT NULL,
        keep_allocated INTEGER DEFAULT 0 NOT NULL,
        reclaimable INTEGER DEFAULT 0 NOT NULL,
        CONSTRAINT pk_raster PRIMARY KEY (raster_id),
        CONSTRAINT uq_raster_digest_level_class UNIQUE (digest, level, class)
    )
     STRICT
    """,
    """CREATE INDEX ix_raster_group ON raster (level, reclaimable, raster_id) WHERE n_files > 1""",
    """
    CREATE TABLE request (
        request_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        arguments TEXT NOT NULL,
        actor TEXT,
        requested_ms INTEGER NOT NULL,
        taken_ms INTEGER,
        finished_ms INTEGER,
        progress TEXT,
        result TEXT,
        CONSTRAINT pk_request PRIMARY KEY (request_id)
    )
     STRICT
    """,
    """CREATE INDEX ix_request_open ON request (request_id) WHERE finished_ms IS NULL""",
    """
    CREATE TABLE root (
        root_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        path BLOB NOT NULL,
        path_text TEXT,
        state INTEGER DEFAULT 1 NOT NULL,
        state_reason TEXT,
        state_since_ms INTEGER NOT NULL,
        added_ms INTEGER NOT NULL,
        marker TEXT,
        fs_type TEXT,
        fs_source TEXT,
        root_inode INTEGER,
        identity TEXT,
        inode_trusted INTEGER DEFAULT 1 NOT NULL,
        ctime_trusted INTEGER DEFAULT 1 NOT NULL,
        mtime_granularity_ns INTEGER DEFAULT 1 NOT NULL,
        mode TEXT,
        mode_reason TEXT,
        last_reconcile_ms INTEGER,
        n_held INTEGER DEFAULT 0 NOT NULL,
        uncovered_dirs INTEGER DEFAULT 0 NOT NULL,
        mass_change TEXT,
        refounded_ms INTEGER,
        confirmed_ms INTEGER,
        CONSTRAINT pk_root PRIMARY KEY (root_id)
    )
     STRICT
    """,
    """CREATE UNIQUE INDEX uq_root_name ON root (name) WHERE state != 3""",
    """CREATE UNIQUE INDEX uq_root_path ON root (path) WHERE state != 3""",
    """
    CREATE TABLE root_count (
        root_id INTEGER NOT NULL,
        presence INTEGER NOT NULL,
        outcome INTEGER NOT NULL,
        n_files INTEGER DEFAULT 0 NOT NULL,
        n_bytes INTEGER DEFAULT 0 NOT NULL,
        CONSTRAINT pk_root_count PRIMARY KEY (root_id, presence, outcome)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """
    CREATE TABLE run (
        run_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        root_id INTEGER,
        started_ms INTEGER NOT NULL,
        heartbeat_ms INTEGER,
        finished_ms INTEGER,
        status TEXT NOT NULL,
        counts TEXT,
        host TEXT,
        pid INTEGER,
        version TEXT,
        CONSTRAINT pk_run PRIMARY KEY (run_id)
    )
     STRICT
    """,
    """
    CREATE TABLE seal (
        seal_id INTEGER NOT NULL,
        first_event_id INTEGER NOT NULL,
        last_event_id INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        chain BLOB NOT NULL,
        CONSTRAINT pk_seal PRIMARY KEY (seal_id),
        CONSTRAINT uq_seal_last_event_id UNIQUE (last_event_id)
    )
     STRICT
    """,
    """
    CREATE TABLE setting (
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        CONSTRAINT pk_setting PRIMARY KEY (name)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """
    CREATE TABLE tagset (
        tagset_id INTEGER NOT NULL,
        digest BLOB NOT NULL,
        CONSTRAINT pk_tagset PRIMARY KEY (tagset_id),
        CONSTRAINT uq_tagset_digest UNIQUE (digest)
    )
     STRICT
    """,
    """
    CREATE TABLE tagset_member (
        tagset_id INTEGER NOT NULL,
        tagval_id INTEGER NOT NULL,
        CONSTRAINT pk_tagset_member PRIMARY KEY (tagset_id, tagval_id)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """CREATE INDEX ix_tagset_member_tagval ON tagset_member (tagval_id, tagset_id)""",
    """
    CREATE TABLE tagval (
        tagval_id INTEGER NOT NULL,
        digest BLOB NOT NULL,
        code INTEGER NOT NULL,
        name TEXT NOT NULL,
        type INTEGER NOT NULL,
        count INTEGER NOT NULL,
        value TEXT NOT NULL,
        num REAL,
        raw BLOB NOT NULL,
        sha256 BLOB,
        broken TEXT,
        CONSTRAINT pk_tagval PRIMARY KEY (tagval_id),
        CONSTRAINT uq_tagval_digest UNIQUE (digest)
    )
     STRICT
    """,
    """CREATE INDEX ix_tagval_name ON tagval (name, value)""",
    """
    CREATE TABLE dir (
        dir_id INTEGER NOT NULL,
        root_id INTEGER NOT NULL,
        path BLOB NOT NULL,
        path_text TEXT,
        fingerprint BLOB,
        CONSTRAINT pk_dir PRIMARY KEY (dir_id),
        CONSTRAINT uq_dir_root_id_path UNIQUE (root_id, path),
        CONSTRAINT fk_dir_root_id FOREIGN KEY(root_id) REFERENCES root (root_id) DEFERRABLE INITIALLY DEFERRED
    )
     STRICT
    """,
    """
    CREATE TABLE ifd (
        content_id INTEGER NOT NULL,
        ifd_no INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        parent_no INTEGER,
        tagset_id INTEGER NOT NULL,
        width INTEGER,
        height INTEGER,
        layout BLOB,
        CONSTRAINT pk_ifd PRIMARY KEY (content_id, ifd_no),
        CONSTRAINT fk_ifd_tagset_id FOREIGN KEY(tagset_id) REFERENCES tagset (tagset_id) DEFERRABLE INITIALLY DEFERRED
    )
     WITHOUT ROWID,
     STRICT
    """,
    """CREATE INDEX ix_ifd_tagset ON ifd (tagset_id)""",
    """
    CREATE TABLE job (
        job_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        root_id INTEGER NOT NULL,
        path BLOB NOT NULL,
        reason TEXT NOT NULL,
        generation INTEGER DEFAULT 1 NOT NULL,
        first_ms INTEGER NOT NULL,
        attempts INTEGER DEFAULT 0 NOT NULL,
        not_before_ms INTEGER DEFAULT 0 NOT NULL,
        last_failure TEXT,
        CONSTRAINT uq_job_root_id_path UNIQUE (root_id, path),
        CONSTRAINT fk_job_root_id FOREIGN KEY(root_id) REFERENCES root (root_id) DEFERRABLE INITIALLY DEFERRED
    )
     STRICT
    """,
    """CREATE INDEX ix_job_due ON job (root_id, not_before_ms, job_id)""",
    """
    CREATE TABLE toolchain (
        toolchain_id INTEGER NOT NULL,
        epoch_id INTEGER NOT NULL,
        components TEXT NOT NULL,
        first_used_ms INTEGER NOT NULL,
        CONSTRAINT pk_toolchain PRIMARY KEY (toolchain_id),
        CONSTRAINT uq_toolchain_epoch_id_components UNIQUE (epoch_id, components),
        CONSTRAINT fk_toolchain_epoch_id FOREIGN KEY(epoch_id) REFERENCES epoch (epoch_id) DEFERRABLE INITIALLY DEFERRED
    )
     STRICT
    """,
    """
    CREATE TABLE analysis (
        content_id INTEGER NOT NULL,
        epoch_id INTEGER NOT NULL,
        toolchain_id INTEGER NOT NULL,
        fidelity INTEGER NOT NULL,
        reason TEXT,
        pixel_id INTEGER,
        view_id INTEGER,
        payload BLOB,
        payload_reason TEXT,
        format TEXT,
        width INTEGER,
        height INTEGER,
        frames INTEGER,
        model TEXT,
        dtype TEXT,
        channels INTEGER,
        orientation INTEGER,
        icc_sha256 BLOB,
        layout_id INTEGER,
        cv2_imread_md5 BLOB,
        pillow_tobytes_md5 BLOB,
        pillow_save_md5 BLOB,
        loader_errors TEXT,
        complaints TEXT,
        near BLOB,
        analysed_ms INTEGER NOT NULL,
        CONSTRAINT pk_analysis PRIMARY KEY (content_id, epoch_id),
        CONSTRAINT fk_analysis_content_id FOREIGN KEY(content_id) REFERENCES content (content_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_analysis_epoch_id FOREIGN KEY(epoch_id) REFERENCES epoch (epoch_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_analysis_toolchain_id FOREIGN KEY(toolchain_id) REFERENCES toolchain (toolchain_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_analysis_pixel_id FOREIGN KEY(pixel_id) REFERENCES raster (raster_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_analysis_view_id FOREIGN KEY(view_id) REFERENCES raster (raster_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_analysis_layout_id FOREIGN KEY(layout_id) REFERENCES layout (layout_id) DEFERRABLE INITIALLY DEFERRED
    )
     WITHOUT ROWID,
     STRICT
    """,
    """
    CREATE INDEX ix_analysis_stopped
    ON analysis (content_id)
    WHERE instr(reason, ': raise ') > 0
    """,
    """
    CREATE TABLE revision (
        rev_id INTEGER NOT NULL,
        file_id INTEGER NOT NULL,
        prev_rev_id INTEGER,
        content_id INTEGER NOT NULL,
        dir_id INTEGER NOT NULL,
        name BLOB NOT NULL,
        name_text TEXT,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        dev INTEGER NOT NULL,
        nlink INTEGER NOT NULL,
        allocated INTEGER NOT NULL,
        observed_ms INTEGER NOT NULL,
        run_id INTEGER,
        CONSTRAINT pk_revision PRIMARY KEY (rev_id),
        CONSTRAINT fk_revision_content_id FOREIGN KEY(content_id) REFERENCES content (content_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_revision_dir_id FOREIGN KEY(dir_id) REFERENCES dir (dir_id) DEFERRABLE INITIALLY DEFERRED
    )
     STRICT
    """,
    """CREATE INDEX ix_revision_file ON revision (file_id)""",
    """
    CREATE TABLE file (
        file_id INTEGER NOT NULL,
        root_id INTEGER NOT NULL,
        dir_id INTEGER NOT NULL,
        name BLOB NOT NULL,
        name_text TEXT,
        presence INTEGER DEFAULT 1 NOT NULL,
        outcome INTEGER DEFAULT 0 NOT NULL,
        reason TEXT,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        nlink INTEGER NOT NULL,
        allocated INTEGER NOT NULL,
        content_id INTEGER,
        pixel_id INTEGER,
        view_id INTEGER,
        rev_id INTEGER,
        baseline_rev_id INTEGER,
        first_seen_ms INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL,
        state_since_ms INTEGER NOT NULL,
        retired_ms INTEGER,
        CONSTRAINT pk_file PRIMARY KEY (file_id),
        CONSTRAINT fk_file_root_id FOREIGN KEY(root_id) REFERENCES root (root_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_file_dir_id FOREIGN KEY(dir_id) REFERENCES dir (dir_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_file_content_id FOREIGN KEY(content_id) REFERENCES content (content_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_file_pixel_id FOREIGN KEY(pixel_id) REFERENCES raster (raster_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_file_view_id FOREIGN KEY(view_id) REFERENCES raster (raster_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_file_rev_id FOREIGN KEY(rev_id) REFERENCES revision (rev_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_file_baseline_rev_id FOREIGN KEY(baseline_rev_id) REFERENCES revision (rev_id) DEFERRABLE INITIALLY DEFERRED
    )
     STRICT
    """,
    """
    CREATE INDEX ix_file_content
    ON file (content_id)
    WHERE content_id IS NOT NULL AND presence <> 3
    """,
    """
    CREATE INDEX ix_file_gone
    ON file (content_id)
    WHERE content_id IS NOT NULL AND presence = 3 AND retired_ms IS NULL
    """,
    """CREATE INDEX ix_file_inode ON file (inode)""",
    """
    CREATE INDEX ix_file_odd
    ON file (root_id, presence, outcome)
    WHERE presence <> 1 OR outcome IN (0, 2, 3)
    """,
    """
    CREATE INDEX ix_file_pixel
    ON file (pixel_id, allocated, size)
    WHERE pixel_id IS NOT NULL AND presence <> 3
    """,
    """CREATE INDEX ix_file_tombstone ON file (dir_id, name) WHERE presence = 3""",
    """
    CREATE INDEX ix_file_uncompared
    ON file (content_id)
    WHERE content_id IS NOT NULL AND view_id IS NULL AND presence <> 3
    """,
    """
    CREATE INDEX ix_file_view
    ON file (view_id, allocated, size)
    WHERE view_id IS NOT NULL AND presence <> 3
    """,
    """CREATE UNIQUE INDEX uq_file_path ON file (dir_id, name) WHERE presence <> 3""",
    """
    CREATE TABLE drift (
        drift_id INTEGER NOT NULL,
        file_id INTEGER NOT NULL,
        root_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        manner TEXT NOT NULL,
        severity INTEGER NOT NULL,
        opened_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        closed_ms INTEGER,
        resolution TEXT,
        baseline_rev_id INTEGER,
        rev_id INTEGER,
        reasons TEXT NOT NULL,
        detail TEXT,
        actor TEXT,
        note TEXT,
        CONSTRAINT pk_drift PRIMARY KEY (drift_id),
        CONSTRAINT fk_drift_file_id FOREIGN KEY(file_id) REFERENCES file (file_id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT fk_drift_root_id FOREIGN KEY(root_id) REFERENCES root (root_id) DEFERRABLE INITIALLY DEFERRED
    )
     STRICT
    """,
    """CREATE INDEX ix_drift_file ON drift (file_id)""",
    """CREATE INDEX ix_drift_order ON drift (severity, updated_ms, drift_id) WHERE closed_ms IS NULL""",
    """CREATE UNIQUE INDEX uq_drift_open ON drift (file_id) WHERE closed_ms IS NULL""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the first schema")
