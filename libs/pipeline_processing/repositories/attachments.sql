-- Parameters and columns are a contract: a deployment may replace this file, not them.

-- name: agencies
select id::text as agency_id,
       name     as name
  from agencies
 order by id;

-- name: get_attachment_files_for_s3_processing
select id::text          as attachment_id,
       employee_id::text as employee_id,
       source_key        as source_key,
       size_bytes        as size_bytes,
       etag              as etag,
       version_id        as version_id
  from attachments
 where agency_id = $1::text
 order by id;
