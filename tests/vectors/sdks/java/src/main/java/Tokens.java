import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.function.BiFunction;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentials;
import software.amazon.awssdk.auth.credentials.AwsSessionCredentials;
import software.amazon.awssdk.auth.signer.Aws4Signer;
import software.amazon.awssdk.auth.signer.params.Aws4PresignerParams;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.http.SdkHttpFullRequest;
import software.amazon.awssdk.http.SdkHttpMethod;
import software.amazon.awssdk.http.SdkHttpRequest;
import software.amazon.awssdk.http.auth.aws.signer.AwsV4HttpSigner;
import software.amazon.awssdk.http.auth.spi.signer.HttpSigner;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.regions.Region;

/**
 * Tokens of the AWS SDK for Java v2, for the cases on standard input (tests/vectors/tokens.json).
 *
 * <p>{@code mvn -q compile exec:java -Dexec.args=../java.json < ../../tokens.json}
 *
 * <p>Its STS client has no presigner, so clients sign a request that they build themselves, with one of the SDK's two signers.
 */
public final class Tokens {
    private static final Duration LIFE = Duration.ofSeconds(60);

    private record Recipe(String name, BiFunction<SdkHttpFullRequest, Vector, SdkHttpRequest> signer) {}

    private static final List<Recipe> RECIPES =
            List.of(new Recipe("Aws4Signer.presign", Tokens::presign), new Recipe("AwsV4HttpSigner.sign", Tokens::sign));

    private record Vector(
            String name, String region, String host, String clusterId, AwsCredentials credentials, Clock clock) {
        static Vector of(JsonNode node) {
            String id = text(node, "access_key_id"), secret = text(node, "secret_access_key");
            AwsCredentials credentials = node.field("session_token").filter(JsonNode::isString).isPresent()
                    ? AwsSessionCredentials.create(id, secret, text(node, "session_token"))
                    : AwsBasicCredentials.create(id, secret);
            Instant time = Instant.ofEpochSecond(Long.parseLong(node.field("unix_time").orElseThrow().asNumber()));
            return new Vector(
                    text(node, "name"),
                    text(node, "region"),
                    text(node, "host"),
                    text(node, "cluster_id"),
                    credentials,
                    Clock.fixed(time, ZoneOffset.UTC));
        }

        private static String text(JsonNode node, String field) {
            return node.field(field).orElseThrow().asString();
        }

        SdkHttpFullRequest request() {
            return SdkHttpFullRequest.builder()
                    .method(SdkHttpMethod.GET)
                    .uri(URI.create("https://" + host + "/"))
                    .appendHeader("x-k8s-aws-id", clusterId)
                    .appendRawQueryParameter("Action", "GetCallerIdentity")
                    .appendRawQueryParameter("Version", "2011-06-15")
                    .build();
        }
    }

    /** The older signer, which is deprecated and in every example. */
    @SuppressWarnings("deprecation")
    private static SdkHttpRequest presign(SdkHttpFullRequest request, Vector vector) {
        return Aws4Signer.create()
                .presign(
                        request,
                        Aws4PresignerParams.builder()
                                .awsCredentials(vector.credentials())
                                .signingName("sts")
                                .signingRegion(Region.of(vector.region()))
                                .signingClockOverride(vector.clock())
                                .expirationTime(vector.clock().instant().plus(LIFE))
                                .build());
    }

    private static SdkHttpRequest sign(SdkHttpFullRequest request, Vector vector) {
        return AwsV4HttpSigner.create()
                .sign(r -> r.identity(vector.credentials())
                        .request(request)
                        .putProperty(AwsV4HttpSigner.SERVICE_SIGNING_NAME, "sts")
                        .putProperty(AwsV4HttpSigner.REGION_NAME, vector.region())
                        .putProperty(AwsV4HttpSigner.AUTH_LOCATION, AwsV4HttpSigner.AuthLocation.QUERY_STRING)
                        .putProperty(AwsV4HttpSigner.EXPIRATION_DURATION, LIFE)
                        .putProperty(HttpSigner.SIGNING_CLOCK, vector.clock()))
                .request();
    }

    private static String token(Recipe recipe, Vector vector) {
        String url = recipe.signer().apply(vector.request(), vector).getUri().toString();
        String text = Base64.getUrlEncoder().withoutPadding().encodeToString(url.getBytes(StandardCharsets.UTF_8));
        // None of these needs an escape in JSON.
        return "    {\n      \"recipe\": \"%s\",\n      \"name\": \"%s\",\n      \"token\": \"k8s-aws-v1.%s\"\n    }"
                .formatted(recipe.name(), vector.name(), text);
    }

    public static void main(String[] arguments) throws IOException {
        JsonNode vectors = JsonNode.parser().parse(System.in);
        List<String> tokens = new ArrayList<>();
        for (Recipe recipe : RECIPES) {
            vectors.asArray().stream().map(Vector::of).forEach(vector -> tokens.add(token(recipe, vector)));
        }
        String made = "{\n  \"sdk\": \"software.amazon.awssdk\",\n  \"version\": \"%s\",\n  \"tokens\": [\n%s\n  ]\n}\n"
                .formatted(VersionInfo.SDK_VERSION, String.join(",\n", tokens));
        // Not standard output, where Maven writes too.
        Files.writeString(Path.of(arguments[0]), made);
    }
}
