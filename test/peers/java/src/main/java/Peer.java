import java.io.ByteArrayInputStream;
import java.net.URI;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import software.amazon.awssdk.auth.credentials.AnonymousCredentialsProvider;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.ContentStreamProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.sts.StsClient;

/**
 * The AWS SDK for Java as a workload uses it: Peer unsigned|dummy [ENDPOINT]. Prints a line for each thing tried:
 * "ok WHAT", or "not ok WHAT: WHY".
 */
public final class Peer {
  private interface Attempt {
    void run() throws Exception;
  }

  private static final int MEBIBYTE = 1 << 20;

  private static void attempt(String what, Attempt attempt) {
    try {
      attempt.run();
      System.out.println("ok " + what);
    } catch (Exception | AssertionError error) {
      System.out.println("not ok " + what + ": " + String.valueOf(error.getMessage()).replace('\n', ' '));
    }
  }

  private static byte[] random(int size) {
    byte[] content = new byte[size];
    new Random(size).nextBytes(content);
    return content;
  }

  public static void main(String[] arguments) {
    boolean unsigned = arguments[0].equals("unsigned");
    String endpoint = arguments.length > 1 ? arguments[1] : null;
    AwsCredentialsProvider credentials =
        unsigned
            ? AnonymousCredentialsProvider.create()
            : StaticCredentialsProvider.create(AwsBasicCredentials.create("AKIANOTREAL", "not-a-secret"));
    var builder = S3Client.builder().credentialsProvider(credentials).region(Region.US_EAST_1).forcePathStyle(true);
    if (endpoint != null) builder.endpointOverride(URI.create(endpoint));
    S3Client s3 = builder.build();
    String bucket = "java-sdk-" + arguments[0] + "-" + ProcessHandle.current().pid();
    attempt("create a bucket", () -> s3.createBucket(request -> request.bucket(bucket)));

    Map<String, Integer> sizes = new LinkedHashMap<>();
    sizes.put("nothing", 0);
    sizes.put("one byte", 1);
    sizes.put("64 KiB", 64 << 10);
    sizes.put("9 MiB", 9 * MEBIBYTE);
    sizes.forEach(
        (name, size) -> {
          byte[] content = random(size);
          attempt("put and get " + name, () -> putAndGet(s3, bucket, name, content, RequestBody.fromBytes(content)));
        });
    byte[] content = random(9 * MEBIBYTE);
    ContentStreamProvider stream = () -> new ByteArrayInputStream(content);
    attempt(
        "put and get a stream",
        () -> putAndGet(s3, bucket, "stream", content, RequestBody.fromInputStream(stream.newStream(), content.length)));
    attempt(
        "put and get a stream of unknown length",
        () -> putAndGet(s3, bucket, "unknown", content, RequestBody.fromContentProvider(stream, "a/b")));
    if (endpoint != null) return;

    attempt(
        "get the caller's identity",
        () -> {
          StsClient sts = StsClient.builder().credentialsProvider(credentials).region(Region.US_EAST_1).build();
          String arn = sts.getCallerIdentity().arn();
          if (!arn.contains(":assumed-role/")) throw new AssertionError(arn);
        });
    attempt(
        "invoke a model",
        () -> {
          BedrockRuntimeClient models =
              BedrockRuntimeClient.builder().credentialsProvider(credentials).region(Region.US_EAST_1).build();
          SdkBytes prompt = SdkBytes.fromUtf8String("{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}");
          models.invokeModel(request -> request.modelId("anthropic.model-v1:0").body(prompt));
        });
  }

  private static void putAndGet(S3Client s3, String bucket, String key, byte[] content, RequestBody body) {
    s3.putObject(request -> request.bucket(bucket).key(key), body);
    byte[] got = s3.getObjectAsBytes(request -> request.bucket(bucket).key(key)).asByteArray();
    if (!Arrays.equals(got, content)) throw new AssertionError(got.length + " other bytes");
    s3.deleteObject(request -> request.bucket(bucket).key(key));
  }
}
