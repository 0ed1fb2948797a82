-- Bronze: what agencies send is kept as text, as they sent it. The queries cast.

create table agencies (
    id   text primary key check (id <> ''),
    name text not null
);

create table employees (
    id               bigint primary key,
    agency_id        text not null references agencies (id),
    last_name        text,
    first_name       text,
    middle_initial   text,
    gender           text,
    race             text,
    birth_year       text,
    current_age      text,
    current_status   text,
    appointed_date   text,
    rank_no          text,
    current_rank     text,
    current_unit     text,
    unit_description text,
    resignation_date text,
    stars            text[] not null default '{}'
);
create index employees_of_agency on employees (agency_id, id);

create table attachments (
    id           bigint primary key,
    agency_id    text not null references agencies (id),
    employee_id  bigint, -- not a foreign key: agencies send attachments of people who are on no roster
    source_key   text not null,
    file_name    text,
    content_type text,
    size_bytes   bigint,
    etag         text,
    version_id   text,
    created_at   timestamptz not null default now()
);
create index attachments_of_agency on attachments (agency_id, id);
