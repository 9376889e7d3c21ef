/**
 * Which cases of the conformance suite are run, and into which group of features each one falls. Left out is
 * what Holdfast does not set out to have; a case that is merely not passed yet stays in.
 */

/** The state of the suite that the counts in docs/s3.md are about. */
export const SUITE_COMMIT = '8f0ae7b';
export const SUITE_FILES = ['test_s3.py', 'test_headers.py'] as const;

/** Marks of the suite whose cases are left out, and why. */
export const LEFT_OUT_MARKS: Readonly<Record<string, string>> = {
  auth_aws2: 'Signature Version 2',
  bucket_logging: 'access logs into buckets',
  bucket_logging_cleanup: 'access logs into buckets',
  cloud_restore: 'tiering',
  cloud_transition: 'tiering',
  iam_account: 'IAM',
  iam_cross_account: 'IAM',
  iam_role: 'IAM',
  iam_tenant: 'IAM',
  iam_user: 'IAM',
  lifecycle_transition: 'tiering',
  s3select: 'S3 Select',
  sns: 'SNS',
  target_by_bucket: 'tiering',
  test_of_sts: 'STS',
  webidentity_test: 'STS',
};

/**
 * What bears no mark: cases and parameters of key management services and of tiering, URLs presigned by
 * Signature Version 2, and forms whose policy is signed by it, which are all but the anonymous ones.
 */
const LEFT_OUT_NAMES = ['kms', 'transition', '(presigned and _v2)', '(post_object and not anonymous and not success_code)'];

/** As pytest's -m takes it. */
export const markExpression = Object.keys(LEFT_OUT_MARKS)
  .map((mark) => `not ${mark}`)
  .join(' and ');
/** As pytest's -k takes it, which compares without regard to case. */
export const nameExpression = LEFT_OUT_NAMES.map((name) => `not ${name}`).join(' and ');

/** First match wins; a case that none fits is of the group 'objects'. */
const GROUPS: readonly (readonly [group: string, name: RegExp])[] = [
  ['lifecycle', /lifecycle|delete_marker_expiration/],
  ['object lock', /object_lock/],
  ['POST forms', /post_object/],
  ['conditional writes', /_if_?(none_?|non)?match|conditional_write|if_match_size|if_match_last_modified/],
  ['CORS', /cors/],
  ['encryption', /encrypt|sse_|_enc\b|copy_enc|copy_part_enc|put_obj_enc|_s3_noenc|sse_s3/],
  ['checksums and attributes', /checksum|cksum|object_attributes/],
  ['multipart', /multipart|upload_part_copy|resend_first/],
  ['public access and ownership', /public_block|block_public|ownership|public_acls|restrict_public|policy_status/],
  ['policy', /policy/],
  ['tagging', /tag/],
  ['versioning', /version|delete_marker/],
  ['copy', /copy/],
  ['ACL', /acl|access_bucket|grant/],
  ['listing', /list|key_count/],
  ['raw requests and headers', /raw|anon|headers|_bad_|create_contentlength|100_continue|amz_date|expected_bucket_owner|presigned/],
  ['buckets', /^test_bucket|^test_buckets|account_usage|head_bucket|torrent/],
];

export function groupOf(caseName: string): string {
  return GROUPS.find(([, name]) => name.test(caseName))?.[0] ?? 'objects';
}
