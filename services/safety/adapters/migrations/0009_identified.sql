-- An attempt may have a credential to be known by and no provider to spend with.
create table spend_grant_new (
    task            text    not null,
    fence           integer not null,
    root            text    not null,
    agent           text    not null,
    providers       text    not null,                                   -- separated by blanks; '': it may spend nothing
    token_id        text    not null unique,
    digest          text    not null check (length(digest) = 64),
    granted_at      integer not null,
    ended_at        integer,
    block_subject   text,                                               -- its last call was refused for want of room
    block_window    text,
    block_micros    integer,
    primary key (task, fence),
    check ((block_subject is null) = (block_window is null)),
    check ((block_subject is null) = (block_micros is null)),
    check (block_subject is null or ended_at is null)
) strict, without rowid;
insert into spend_grant_new select * from spend_grant;
drop table spend_grant;
alter table spend_grant_new rename to spend_grant;
