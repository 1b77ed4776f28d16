<?php
// A client as a typical integrator writes it in PHP: it logs in, keeps its token for an hour, and manages private tokens.
//
//     php integrator.php http://127.0.0.1:3000/api/v1/auth ada@example.org PASSWORD COMPANY_ID
//
// COMPANY_ID is the expected `company_id` of the account: a text, or `null`. It ignores all fields that it does not know.
// `integrator.py` does the same in Python.

declare(strict_types=1);

// The client keeps a token for this long. The documentation promises it: `expires_in` does not exist.
const KEEP_SECONDS = 3600;

final class ApiError extends Exception
{
    public function __construct(public readonly int $status, public readonly ?array $body)
    {
        parent::__construct($status . ' ' . json_encode($body));
    }

    public function code(): ?string
    {
        return $this->body['code'] ?? null;
    }
}

final class Client
{
    public ?string $accessToken = null;
    public ?string $companyId = null;
    /** @var string[] The calls that the client has sent, such as "POST /login/". */
    public array $sent = [];
    private ?string $refreshToken = null;
    private int $keptUntil = 0;

    /** @param Closure(): int $clock */
    public function __construct(
        private readonly string $base,
        private readonly string $username,
        private readonly string $password,
        private readonly Closure $clock,
    ) {
    }

    public function logIn(): void
    {
        $body = ['username' => $this->username, 'password' => $this->password];
        $answer = $this->send('POST', '/login/', $body);
        $this->companyId = $answer['company_id'] === null ? null : (string) $answer['company_id'];
        $this->keep($answer);
    }

    public function refresh(): void
    {
        $this->keep($this->send('POST', '/refresh/', ['refresh_token' => $this->refreshToken]));
    }

    /** A token for the next request: the kept one, a refreshed one, or that of a new log-in. */
    public function token(): string
    {
        if ($this->accessToken === null || ($this->clock)() >= $this->keptUntil) {
            $this->renew();
        }
        return $this->accessToken;
    }

    /** A request with a token. It is sent once more if the service says that the token is not valid. */
    public function request(string $method, string $path, ?array $body = null): ?array
    {
        try {
            return $this->send($method, $path, $body, $this->token());
        } catch (ApiError $error) {
            if ($error->status !== 401 || $error->code() !== 'token_not_valid') {
                throw $error;
            }
        }
        $this->renew();
        return $this->send($method, $path, $body, $this->accessToken);
    }

    public function createPrivateToken(string $name, int $days): array
    {
        $expires = new DateTimeImmutable("+$days days");
        $body = ['name' => $name, 'expiration_time' => $expires->format(DateTimeInterface::RFC3339)];
        return $this->request('POST', '/private_tokens/', $body);
    }

    /** All private tokens, page by page. It follows `next` as it is. */
    public function listPrivateTokens(int $pageSize = 2): array
    {
        $url = "/private_tokens/?page_size=$pageSize&ordering=id";
        $found = [];
        while ($url !== null) {
            $page = $this->request('GET', $url);
            array_push($found, ...$page['results']);
            $url = $page['next'];
        }
        return $found;
    }

    public function revokePrivateToken(int $id): void
    {
        $this->request('DELETE', "/private_tokens/$id/");
    }

    private function renew(): void
    {
        if ($this->refreshToken === null) {
            $this->logIn();
            return;
        }
        try {
            $this->refresh();
        } catch (ApiError $error) {
            if ($error->code() !== 'token_not_valid') {
                throw $error;
            }
            $this->logIn();
        }
    }

    private function keep(array $answer): void
    {
        $this->accessToken = $answer['access_token'];
        $this->refreshToken = $answer['refresh_token'];
        $this->keptUntil = ($this->clock)() + KEEP_SECONDS;
    }

    private function send(string $method, string $path, ?array $body = null, ?string $token = null): ?array
    {
        $url = str_starts_with($path, 'http') ? $path : $this->base . $path;
        $this->sent[] = "$method $path";
        $headers = $token === null ? [] : ["Authorization: Bearer $token"];
        $curl = curl_init($url);
        if ($body !== null) {
            $headers[] = 'Content-Type: application/json';
            curl_setopt($curl, CURLOPT_POSTFIELDS, json_encode($body));
        }
        curl_setopt_array($curl, [
            CURLOPT_CUSTOMREQUEST => $method,
            CURLOPT_HTTPHEADER => $headers,
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_TIMEOUT => 60,
            CURLOPT_PROXY => '',
        ]);
        $text = curl_exec($curl);
        if ($text === false) {
            throw new RuntimeException(curl_error($curl));
        }
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        $answer = $text === '' ? null : json_decode($text, true, flags: JSON_THROW_ON_ERROR);
        if ($status >= 400) {
            throw new ApiError($status, $answer);
        }
        return $answer;
    }
}

function check(bool $holds, string $what, mixed $found = null): void
{
    if (!$holds) {
        fwrite(STDERR, "failed: $what: " . json_encode($found) . "\n");
        exit(1);
    }
}

/** @return string[] */
function callsSince(Client $client, int $start): array
{
    return array_map(fn (string $call) => explode('?', $call)[0], array_slice($client->sent, $start));
}

function expectError(Closure $call): ApiError
{
    try {
        $call();
    } catch (ApiError $error) {
        return $error;
    }
    check(false, 'the call was accepted');
}

function useApi(string $base, string $username, string $password, string $companyId): void
{
    $now = time();
    $client = new Client($base, $username, $password, function () use (&$now): int {
        return $now;
    });
    $ids = [];
    foreach (range(0, 2) as $number) {
        $created = $client->createPrivateToken("integrator $number", 30);
        check(is_int($created['id']) && $created['data'] !== '', 'a new token', $created);
        $ids[] = $created['id'];
    }
    check($client->companyId === ($companyId === 'null' ? null : $companyId), 'company_id', $client->companyId);
    $logIns = array_filter($client->sent, fn (string $call) => $call === 'POST /login/');
    check(count($logIns) === 1, 'one log-in was enough', $client->sent);
    echo "ok: log in and create\n";

    $mine = fn (array $tokens): array => array_values(array_intersect(array_column($tokens, 'id'), $ids));
    check($mine($client->listPrivateTokens()) === $ids, 'the list');
    $links = array_filter($client->sent, fn (string $call) => str_starts_with($call, 'GET http'));
    check($links !== [], 'there are links', $client->sent);
    foreach ($links as $link) {
        check(str_starts_with($link, "GET $base/private_tokens/?"), 'a link', $link);
    }
    echo "ok: list, and every link has the prefix of the client\n";

    // The token is kept for an hour by the client's clock. Then it is refreshed.
    $first = $client->accessToken;
    $start = count($client->sent);
    $now += KEEP_SECONDS - 1;
    $client->listPrivateTokens(100);
    check(callsSince($client, $start) === ['GET /private_tokens/'], 'the token is kept', $client->sent);
    check($client->accessToken === $first, 'the same token');
    $now += 1;
    $client->listPrivateTokens(100);
    $after = array_slice(callsSince($client, $start), 1);
    check($after === ['POST /refresh/', 'GET /private_tokens/'], 'the token is refreshed', $client->sent);
    check($client->accessToken !== $first, 'another token');
    echo "ok: keep for an hour, then refresh\n";

    $client->revokePrivateToken($ids[0]);
    check($mine($client->listPrivateTokens()) === array_slice($ids, 1), 'the list after a revocation');
    $again = expectError(fn () => $client->revokePrivateToken($ids[0]));
    check($again->status === 404, 'a second revocation', $again->body);
    echo "ok: revoke\n";

    // Somebody revokes everything of the account. The client has to log in again, with one retry.
    $client->request('POST', '/revoke_all/');
    $start = count($client->sent);
    check($client->listPrivateTokens() === [], 'nothing is left');
    $tried = ['GET /private_tokens/', 'POST /refresh/', 'POST /login/', 'GET /private_tokens/'];
    check(callsSince($client, $start) === $tried, 'one retry', $client->sent);
    echo "ok: one retry after token_not_valid\n";

    $wrong = new Client($base, $username, $password . 'x', fn (): int => time());
    $refused = expectError(fn () => $wrong->listPrivateTokens());
    check([$refused->status, $refused->code()] === [401, 'no_active_account'], 'a wrong password', $refused->body);
    check($wrong->sent === ['POST /login/'], 'no retry', $wrong->sent);
    echo "ok: no retry after a wrong password\n";
}

useApi(...array_slice($argv, 1));
