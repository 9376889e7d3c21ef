"""What boto3 does with an S3 endpoint, each act a function with plain assertions.

    python3 boto3_repertoire.py            runs all and prints one line of JSON for each
    python3 boto3_repertoire.py --list     prints their names

The endpoint and its credentials come by S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION.
"""

import base64
import datetime
import hashlib
import io
import json
import os
import sys
import traceback
import urllib.error
import urllib.request
import uuid

MIB = 1024 * 1024
ACTS = []


def act(function):
    ACTS.append(function)
    return function


def content_of(name, size):
    """Bytes that depend on the name and do not repeat."""
    return hashlib.shake_256(name.encode()).digest(size)


class Endpoint:
    def __init__(self):
        import boto3
        from botocore.config import Config

        self.config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 3})
        self.url = os.environ["S3_ENDPOINT"]
        self.s3 = boto3.client("s3", endpoint_url=self.url, config=self.config)

    def bucket(self, versioned=False, **more):
        name = f"boto3-{uuid.uuid4().hex[:16]}"
        self.s3.create_bucket(Bucket=name, **more)
        if versioned:
            self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def read(self, bucket, key, **more):
        return self.s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def refused(code, function, **arguments):
    """The response of a request that must be refused with this code."""
    from botocore.exceptions import ClientError

    try:
        function(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        return error.response
    raise AssertionError(f"was not refused with {code}")


@act
def puts_and_gets_every_kind_of_key(at):
    bucket = at.bucket()
    for key in ["a", "a b", "a+b", "a%20b", "a/b//c/", "/a", "./a", "ä€𐍈", "a?b&c=d#e", "é", "_", "x" * 1024]:
        body = content_of(key, 1000)
        etag = at.s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"]
        assert etag == f'"{hashlib.md5(body).hexdigest()}"'
        assert at.read(bucket, key) == body, key
    assert at.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 12


@act
def keeps_headers_and_metadata(at):
    bucket = at.bucket()
    given = dict(ContentType="text/x-test", CacheControl="max-age=5", ContentDisposition="inline", ContentEncoding="gzip", ContentLanguage="de")
    expires = datetime.datetime(2031, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    at.s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"colour": "green"}, Expires=expires, **given)
    head = at.s3.head_object(Bucket=bucket, Key="k")
    for name, value in given.items():
        assert head[name] == value, name
    assert head["Metadata"] == {"colour": "green"}
    assert head["ExpiresString"] == "Thu, 02 Jan 2031 03:04:05 GMT"
    answered = at.s3.get_object(Bucket=bucket, Key="k", ResponseContentType="text/other", ResponseCacheControl="no-cache")
    assert (answered["ContentType"], answered["CacheControl"]) == ("text/other", "no-cache")


@act
def reads_ranges(at):
    bucket = at.bucket()
    body = content_of("ranges", 3 * MIB + 7)
    at.s3.put_object(Bucket=bucket, Key="k", Body=body)
    for header, part in [("bytes=0-0", body[:1]), ("bytes=5-", body[5:]), ("bytes=-9", body[-9:]), (f"bytes={MIB}-{2 * MIB}", body[MIB : 2 * MIB + 1])]:
        answered = at.s3.get_object(Bucket=bucket, Key="k", Range=header)
        assert answered["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert answered["Body"].read() == part, header
    refused("InvalidRange", at.s3.get_object, Bucket=bucket, Key="k", Range=f"bytes={len(body)}-")


@act
def reads_under_conditions(at):
    bucket = at.bucket()
    put = at.s3.put_object(Bucket=bucket, Key="k", Body=b"one")
    past = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
    assert at.read(bucket, "k", IfMatch=put["ETag"]) == b"one"
    refused("PreconditionFailed", at.s3.get_object, Bucket=bucket, Key="k", IfMatch='"other"')
    assert refused("304", at.s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=put["ETag"])
    refused("PreconditionFailed", at.s3.get_object, Bucket=bucket, Key="k", IfUnmodifiedSince=past)
    assert at.read(bucket, "k", IfModifiedSince=past) == b"one"


@act
def lists_by_pages_and_delimiters(at):
    bucket = at.bucket()
    keys = sorted([f"a/{number:02}" for number in range(12)] + ["b", "b/1", "c"])
    for key in keys:
        at.s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for operation in ["list_objects_v2", "list_objects"]:
        pages = at.s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": 4})
        assert [row["Key"] for page in pages for row in page.get("Contents", [])] == keys
        top = getattr(at.s3, operation)(Bucket=bucket, Delimiter="/")
        assert [row["Prefix"] for row in top["CommonPrefixes"]] == ["a/", "b/"]
        assert [row["Key"] for row in top["Contents"]] == ["b", "c"]


@act
def deletes_one_and_many(at):
    bucket = at.bucket()
    for number in range(20):
        at.s3.put_object(Bucket=bucket, Key=str(number), Body=b"x")
    assert at.s3.delete_object(Bucket=bucket, Key="0")["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused("NoSuchKey", at.s3.get_object, Bucket=bucket, Key="0")
    answered = at.s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": str(number)} for number in range(20)]})
    assert len(answered["Deleted"]) == 20 and "Errors" not in answered
    at.s3.delete_bucket(Bucket=bucket)
    refused("404", at.s3.head_bucket, Bucket=bucket)


@act
def transfers_a_large_file_in_parts(at):
    from boto3.s3.transfer import TransferConfig

    bucket = at.bucket()
    body = content_of("large", 21 * MIB + 3)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    at.s3.upload_fileobj(io.BytesIO(body), bucket, "large", Config=config)
    out = io.BytesIO()
    at.s3.download_fileobj(bucket, "large", out, Config=config)
    assert out.getvalue() == body
    head = at.s3.head_object(Bucket=bucket, Key="large")
    assert head["ETag"].endswith('-3"') and head["ContentLength"] == len(body)
    part = at.s3.get_object(Bucket=bucket, Key="large", PartNumber=2)
    assert part["PartsCount"] == 3 and part["Body"].read() == body[8 * MIB : 16 * MIB]


@act
def copies_within_and_between_buckets(at):
    one, other = at.bucket(), at.bucket()
    body = content_of("copied", 2 * MIB)
    at.s3.put_object(Bucket=one, Key="from ä+b", Body=body, Metadata={"a": "1"}, ContentType="text/a")
    source = {"Bucket": one, "Key": "from ä+b"}
    copied = at.s3.copy_object(Bucket=other, Key="to", CopySource=source)
    assert copied["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert at.read(other, "to") == body
    assert at.s3.head_object(Bucket=other, Key="to")["Metadata"] == {"a": "1"}
    at.s3.copy_object(Bucket=other, Key="to", CopySource={"Bucket": other, "Key": "to"}, MetadataDirective="REPLACE", Metadata={"b": "2"})
    assert at.s3.head_object(Bucket=other, Key="to")["Metadata"] == {"b": "2"}
    refused("InvalidRequest", at.s3.copy_object, Bucket=one, Key="from ä+b", CopySource=source)
    refused("PreconditionFailed", at.s3.copy_object, Bucket=other, Key="x", CopySource=source, CopySourceIfMatch='"no"')
    at.s3.delete_object(Bucket=one, Key="from ä+b")
    assert at.read(other, "to") == body


@act
def makes_parts_of_copies(at):
    bucket = at.bucket()
    body = content_of("source", 6 * MIB)
    at.s3.put_object(Bucket=bucket, Key="source", Body=body)
    upload = dict(Bucket=bucket, Key="joined", UploadId=at.s3.create_multipart_upload(Bucket=bucket, Key="joined")["UploadId"])
    parts = []
    for number, first in [(1, 0), (2, MIB)]:
        ranged = f"bytes={first}-{first + 5 * MIB - 1}"
        answered = at.s3.upload_part_copy(PartNumber=number, CopySource={"Bucket": bucket, "Key": "source"}, CopySourceRange=ranged, **upload)
        parts.append({"PartNumber": number, "ETag": answered["CopyPartResult"]["ETag"]})
    assert [part["Size"] for part in at.s3.list_parts(**upload)["Parts"]] == [5 * MIB, 5 * MIB]
    at.s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
    assert at.read(bucket, "joined") == body[: 5 * MIB] + body[MIB : 6 * MIB]


@act
def lists_and_aborts_uploads(at):
    bucket = at.bucket()
    ids = [at.s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in ["a", "a", "b"]]
    listed = at.s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert sorted(one["UploadId"] for one in listed) == sorted(ids)
    at.s3.upload_part(Bucket=bucket, Key="b", UploadId=ids[2], PartNumber=1, Body=b"x")
    for key, upload in zip(["a", "a", "b"], ids):
        at.s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    assert "Uploads" not in at.s3.list_multipart_uploads(Bucket=bucket)
    refused("NoSuchUpload", at.s3.upload_part, Bucket=bucket, Key="b", UploadId=ids[2], PartNumber=1, Body=b"x")


def _multipart(at, bucket, key, bodies, **more):
    algorithm = more["ChecksumAlgorithm"]
    upload = dict(Bucket=bucket, Key=key, UploadId=at.s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"])
    parts = []
    for number, body in enumerate(bodies, 1):
        answered = at.s3.upload_part(PartNumber=number, Body=body, ChecksumAlgorithm=algorithm, **upload)
        name = f"Checksum{algorithm}"
        parts.append({"PartNumber": number, "ETag": answered["ETag"], name: answered[name]})
    return at.s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)


@act
def keeps_checksums(at):
    bucket = at.bucket()
    body = content_of("checksums", 100_000)
    sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert at.s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumSHA256=sha256)["ChecksumSHA256"] == sha256
    assert at.s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == sha256
    refused("BadDigest", at.s3.put_object, Bucket=bucket, Key="k", Body=b"other", ChecksumSHA256=sha256)
    for algorithm in ["CRC32", "SHA1", "SHA256"]:
        at.s3.put_object(Bucket=bucket, Key=algorithm, Body=body, ChecksumAlgorithm=algorithm)
        assert at.read(bucket, algorithm, ChecksumMode="ENABLED") == body
    found = at.s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"])
    assert found["Checksum"]["ChecksumSHA256"] == sha256 and found["ObjectSize"] == len(body)


@act
def keeps_checksums_of_parts(at):
    bucket = at.bucket()
    bodies = [content_of("one", 5 * MIB), content_of("two", 1000)]
    done = _multipart(at, bucket, "composite", bodies, ChecksumAlgorithm="SHA256")
    digests = b"".join(hashlib.sha256(body).digest() for body in bodies)
    assert done["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
    done = _multipart(at, bucket, "full", bodies, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    import binascii

    crc = binascii.crc32(b"".join(bodies)).to_bytes(4, "big")
    assert done["ChecksumCRC32"] == base64.b64encode(crc).decode()
    found = at.s3.get_object_attributes(Bucket=bucket, Key="composite", ObjectAttributes=["ObjectParts"])
    assert found["ObjectParts"]["TotalPartsCount"] == 2


@act
def writes_under_conditions(at):
    bucket = at.bucket()
    first = at.s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    refused("PreconditionFailed", at.s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    second = at.s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=first)["ETag"]
    refused("PreconditionFailed", at.s3.put_object, Bucket=bucket, Key="k", Body=b"3", IfMatch=first)
    refused("NoSuchKey", at.s3.put_object, Bucket=bucket, Key="none", Body=b"3", IfMatch=first)
    refused("PreconditionFailed", at.s3.delete_object, Bucket=bucket, Key="k", IfMatch=first)
    assert at.read(bucket, "k") == b"2"
    at.s3.delete_object(Bucket=bucket, Key="k", IfMatch=second)
    upload = dict(Bucket=bucket, Key="k", UploadId=at.s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"])
    part = {"PartNumber": 1, "ETag": at.s3.upload_part(PartNumber=1, Body=b"part", **upload)["ETag"]}
    at.s3.put_object(Bucket=bucket, Key="k", Body=b"meanwhile")
    refused("PreconditionFailed", at.s3.complete_multipart_upload, MultipartUpload={"Parts": [part]}, IfNoneMatch="*", **upload)
    assert at.read(bucket, "k") == b"meanwhile"


@act
def keeps_versions(at):
    bucket = at.bucket(versioned=True)
    assert at.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    ids = [at.s3.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in [b"1", b"2", b"3"]]
    assert len(set(ids)) == 3
    marker = at.s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"] is True
    refused("NoSuchKey", at.s3.get_object, Bucket=bucket, Key="k")
    assert [at.read(bucket, "k", VersionId=one) for one in ids] == [b"1", b"2", b"3"]
    listed = at.s3.list_object_versions(Bucket=bucket)
    assert [row["VersionId"] for row in listed["Versions"]] == ids[::-1]
    assert [row["IsLatest"] for row in listed["DeleteMarkers"]] == [True]
    at.s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert at.read(bucket, "k") == b"3"
    copied = at.s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "k", "VersionId": ids[0]})
    assert copied["CopySourceVersionId"] == ids[0] and at.read(bucket, "k") == b"1"
    at.s3.delete_object(Bucket=bucket, Key="k", VersionId=ids[1])
    refused("NoSuchVersion", at.s3.get_object, Bucket=bucket, Key="k", VersionId=ids[1])


@act
def suspends_versioning(at):
    bucket = at.bucket()
    at.s3.put_object(Bucket=bucket, Key="k", Body=b"null 1")
    at.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    kept = at.s3.put_object(Bucket=bucket, Key="k", Body=b"kept")["VersionId"]
    at.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert at.read(bucket, "k", VersionId="null") == b"null 1"
    at.s3.put_object(Bucket=bucket, Key="k", Body=b"null 2")
    listed = at.s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [row["VersionId"] for row in listed] == ["null", kept]
    assert at.read(bucket, "k", VersionId="null") == b"null 2"


@act
def tags_objects_and_buckets(at):
    bucket = at.bucket(versioned=True)
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": "ä"}]
    at.s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1&b%20c=%C3%A4")
    by_key = lambda found: sorted(found["TagSet"], key=lambda tag: tag["Key"])
    assert by_key(at.s3.get_object_tagging(Bucket=bucket, Key="k")) == tags
    assert at.s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 2
    at.s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags[:1]})
    assert by_key(at.s3.get_object_tagging(Bucket=bucket, Key="k")) == tags[:1]
    at.s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert by_key(at.s3.get_object_tagging(Bucket=bucket, Key="k")) == []
    refused("InvalidTag", at.s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": [tags[0], tags[0]]})
    at.s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert by_key(at.s3.get_bucket_tagging(Bucket=bucket)) == tags
    at.s3.delete_bucket_tagging(Bucket=bucket)
    refused("NoSuchTagSet", at.s3.get_bucket_tagging, Bucket=bucket)


@act
def locks_objects(at):
    bucket = at.bucket(ObjectLockEnabledForBucket=True)
    until = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=1)
    version = at.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)["VersionId"]
    one = dict(Bucket=bucket, Key="k", VersionId=version)
    assert at.s3.get_object_retention(**one)["Retention"] == {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    refused("AccessDenied", at.s3.delete_object, **one)
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": until - datetime.timedelta(hours=1)}
    refused("AccessDenied", at.s3.put_object_retention, Retention=shorter, **one)
    at.s3.put_object_retention(Retention=shorter, BypassGovernanceRetention=True, **one)
    at.s3.put_object_legal_hold(LegalHold={"Status": "ON"}, **one)
    refused("AccessDenied", at.s3.delete_object, BypassGovernanceRetention=True, **one)
    assert at.s3.head_object(**one)["ObjectLockLegalHoldStatus"] == "ON"
    at.s3.put_object_legal_hold(LegalHold={"Status": "OFF"}, **one)
    at.s3.delete_object(BypassGovernanceRetention=True, **one)
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    at.s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=rule)
    assert at.s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == rule
    version = at.s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    assert at.s3.head_object(Bucket=bucket, Key="k")["ObjectLockMode"] == "GOVERNANCE"
    at.s3.delete_object(Bucket=bucket, Key="k", VersionId=version, BypassGovernanceRetention=True)


@act
def works_by_presigned_urls(at):
    bucket = at.bucket()
    body = content_of("presigned", 50_000)
    put = at.s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b"}, ExpiresIn=60)
    with urllib.request.urlopen(urllib.request.Request(put, data=body, method="PUT")) as answered:
        assert answered.status == 200
    get = at.s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b", "ResponseContentType": "text/x"}, ExpiresIn=60)
    with urllib.request.urlopen(get) as answered:
        assert answered.read() == body and answered.headers["Content-Type"] == "text/x"
    changed = get.replace("a%20b", "c")
    try:
        urllib.request.urlopen(changed)
        raise AssertionError("a changed URL was accepted")
    except urllib.error.HTTPError as error:
        assert error.code == 403, error.code


@act
def uploads_by_a_signed_form(at):
    bucket = at.bucket()
    conditions = [["content-length-range", 1, 1000], ["starts-with", "$key", "form/"], {"x-amz-meta-a": "1"}]
    post = at.s3.generate_presigned_post(bucket, "form/${filename}", Fields={"x-amz-meta-a": "1"}, Conditions=conditions, ExpiresIn=60)

    def send(body):
        boundary = uuid.uuid4().hex
        fields = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in post["fields"].items()]
        file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="named"\r\nContent-Type: text/plain\r\n\r\n'
        data = "".join(fields).encode() + file.encode() + body + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return urllib.request.urlopen(urllib.request.Request(post["url"], data=data, headers=headers, method="POST"))

    assert send(b"hello").status == 204
    assert at.read(bucket, "form/named") == b"hello"
    assert at.s3.head_object(Bucket=bucket, Key="form/named")["Metadata"] == {"a": "1"}
    try:
        send(b"x" * 1001)
        raise AssertionError("a file above the limit was accepted")
    except urllib.error.HTTPError as error:
        assert error.code == 400 and b"EntityTooLarge" in error.read()


@act
def encrypts_with_keys_of_the_client(at):
    bucket = at.bucket()
    key = dict(SSECustomerAlgorithm="AES256", SSECustomerKey=content_of("key", 32))
    at.s3.put_object(Bucket=bucket, Key="k", Body=b"secret", **key)
    assert at.read(bucket, "k", **key) == b"secret"
    refused("400", at.s3.head_object, Bucket=bucket, Key="k")
    refused("InvalidRequest", at.s3.get_object, Bucket=bucket, Key="k")
    refused("InvalidRequest", at.s3.get_object, Bucket=bucket, Key="k", SSECustomerAlgorithm="AES256", SSECustomerKey=content_of("other", 32))


@act
def configures_buckets(at):
    bucket = at.bucket()
    cors = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.test"], "MaxAgeSeconds": 5}]}
    refused("NoSuchCORSConfiguration", at.s3.get_bucket_cors, Bucket=bucket)
    at.s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=cors)
    assert at.s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == cors["CORSRules"]
    rules = [{"ID": "one", "Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 5}}]
    refused("NoSuchLifecycleConfiguration", at.s3.get_bucket_lifecycle_configuration, Bucket=bucket)
    at.s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    assert at.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == rules
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{bucket}/keep*"}]}
    at.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    at.s3.put_object(Bucket=bucket, Key="keep", Body=b"x")
    refused("AccessDenied", at.s3.delete_object, Bucket=bucket, Key="keep")
    at.s3.delete_bucket_policy(Bucket=bucket)
    at.s3.delete_object(Bucket=bucket, Key="keep")
    sealed = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    at.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=sealed)
    encryption = at.s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert at.s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


def main():
    if "--list" in sys.argv:
        print("\n".join(function.__name__ for function in ACTS))
        return
    at = Endpoint()
    for function in ACTS:
        told = {"act": function.__name__, "ok": True}
        try:
            function(at)
        except Exception:
            told = {**told, "ok": False, "reason": traceback.format_exc(limit=-3)}
        print(json.dumps(told), flush=True)


main()
