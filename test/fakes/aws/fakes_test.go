package awsfake_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
)

const region = "eu-central-1"

// scene is a cloud with a user and clients of the real SDK.
type scene struct {
	*awsfake.Cloud
	t    *testing.T
	url  string // of EC2
	keys awsfake.Keys
	ec2  *ec2.Client
}

func newScene(t *testing.T) *scene {
	c := awsfake.New(region)
	s := &scene{Cloud: c, t: t, url: fakecloud.Serve(t, c.EC2()), keys: c.AddUser("velero")}
	s.ec2 = s.client(static(s.keys))
	return s
}

func (s *scene) client(provider aws.CredentialsProvider, options ...func(*ec2.Options)) *ec2.Client {
	cfg := aws.Config{Region: region, Credentials: provider, RetryMaxAttempts: 1}
	return ec2.NewFromConfig(cfg, append([]func(*ec2.Options){func(o *ec2.Options) { o.BaseEndpoint = &s.url }}, options...)...)
}

func static(k awsfake.Keys) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, k.SessionToken)
}

// code returns the error code of an answer.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func tagged(resource types.ResourceType, tags ...string) []types.TagSpecification {
	spec := types.TagSpecification{ResourceType: resource}
	for i := 0; i < len(tags); i += 2 {
		spec.Tags = append(spec.Tags, types.Tag{Key: &tags[i], Value: &tags[i+1]})
	}
	return []types.TagSpecification{spec}
}

// The SDK takes a volume through a snapshot to another volume.
func TestVolumes(t *testing.T) {
	s, ctx := newScene(t), t.Context()
	s.SetSnapshotTime(time.Minute)
	s.SetVolumeTime(time.Minute)
	id := s.AddVolume(awsfake.Volume{Zone: region + "a", Type: "gp3", Size: 10, IOPS: 6000, Throughput: 500, Tags: map[string]string{"a b": "ü+/"}})

	volumes, err := s.ec2.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{id}})
	if err != nil || len(volumes.Volumes) != 1 {
		t.Fatal(volumes, err)
	}
	v := volumes.Volumes[0]
	if v.State != types.VolumeStateAvailable || *v.Iops != 6000 || *v.Throughput != 500 || *v.Tags[0].Value != "ü+/" || *v.AvailabilityZone != region+"a" {
		t.Errorf("volume: %+v", v)
	}
	made, err := s.ec2.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: &id, TagSpecifications: tagged("snapshot", "velero.io/backup", "b")})
	if err != nil || made.State != types.SnapshotStatePending || *made.Tags[0].Value != "b" {
		t.Fatal(made, err)
	}
	create := &ec2.CreateVolumeInput{
		SnapshotId: made.SnapshotId, AvailabilityZone: aws.String(region + "b"), VolumeType: "io2", Iops: aws.Int32(500), MultiAttachEnabled: aws.Bool(true),
		ClientToken: aws.String("once"), TagSpecifications: tagged("volume", "k", "v"),
	}
	if _, err := s.ec2.CreateVolume(ctx, create); code(err) != "IncorrectState" {
		t.Errorf("volume of a pending snapshot: %v", err)
	}
	s.Advance(time.Minute)
	snapshots, err := s.ec2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"},
		Filters:  []types.Filter{{Name: aws.String("tag:velero.io/backup"), Values: []string{"b"}}, {Name: aws.String("volume-id"), Values: []string{id}}},
	})
	if err != nil || len(snapshots.Snapshots) != 1 || snapshots.Snapshots[0].State != types.SnapshotStateCompleted || snapshots.Snapshots[0].StartTime == nil {
		t.Fatal(snapshots, err)
	}
	restored, err := s.ec2.CreateVolume(ctx, create)
	if err != nil || restored.State != types.VolumeStateCreating || *restored.Size != 10 || !*restored.MultiAttachEnabled {
		t.Fatal(restored, err)
	}
	again, err := s.ec2.CreateVolume(ctx, create)
	if err != nil || *again.VolumeId != *restored.VolumeId {
		t.Errorf("second request with the token: %v, %v", again, err)
	}
	create.VolumeType = "io1"
	if _, err := s.ec2.CreateVolume(ctx, create); code(err) != "IdempotentParameterMismatch" {
		t.Errorf("other request with the token: %v", err)
	}
	waiter := ec2.NewVolumeAvailableWaiter(s.ec2, func(o *ec2.VolumeAvailableWaiterOptions) { o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond })
	s.Advance(time.Minute)
	if err := waiter.Wait(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{*restored.VolumeId}}, time.Minute); err != nil {
		t.Error(err)
	}
	if _, err := s.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: made.SnapshotId}); err != nil {
		t.Error(err)
	}
	if _, err := s.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: made.SnapshotId}); code(err) != "InvalidSnapshot.NotFound" {
		t.Errorf("second deletion: %v", err)
	}
}

// EC2 refuses what it cannot do, and a test sees it.
func TestWrongParameters(t *testing.T) {
	s, ctx := newScene(t), t.Context()
	volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
	snapshot := s.AddSnapshot(awsfake.Snapshot{VolumeID: volume, Size: 1})
	inUse := s.AddSnapshot(awsfake.Snapshot{VolumeID: volume, Size: 1, InUse: true})
	create := func(change func(*ec2.CreateVolumeInput)) error {
		in := &ec2.CreateVolumeInput{SnapshotId: &snapshot, AvailabilityZone: aws.String(region + "a")}
		change(in)
		_, err := s.ec2.CreateVolume(ctx, in)
		return err
	}
	snap := func(tags ...string) error {
		_, err := s.ec2.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: &volume, TagSpecifications: tagged("snapshot", tags...)})
		return err
	}
	var many []string
	for i := range 51 {
		many = append(many, fmt.Sprint("k", i), "")
	}
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"reserved tag": {snap("aws:cloudformation:stack-name", "x"), "InvalidParameterValue"},
		"51 tags":      {snap(many...), "TagLimitExceeded"},
		"tag twice":    {snap("a", "1", "a", "2"), "InvalidParameterValue"},
		"long key":     {snap(strings.Repeat("ü", 128), ""), "InvalidParameterValue"},
		"long value":   {snap("a", strings.Repeat("ü", 257)), "InvalidParameterValue"},
		"tags of another resource": {func() error {
			_, err := s.ec2.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: &volume, TagSpecifications: tagged("volume", "a", "b")})
			return err
		}(), "InvalidParameterValue"},
		"iops of gp2":      {create(func(in *ec2.CreateVolumeInput) { in.VolumeType, in.Iops = "gp2", aws.Int32(3000) }), "InvalidParameterCombination"},
		"io1 without iops": {create(func(in *ec2.CreateVolumeInput) { in.VolumeType = "io1" }), "MissingParameter"},
		"too few iops":     {create(func(in *ec2.CreateVolumeInput) { in.VolumeType, in.Iops = "gp3", aws.Int32(100) }), "InvalidParameterValue"},
		"throughput of io1": {create(func(in *ec2.CreateVolumeInput) {
			in.VolumeType, in.Iops, in.Throughput = "io1", aws.Int32(100), aws.Int32(200)
		}), "InvalidParameterCombination"},
		"multi-attach gp3":  {create(func(in *ec2.CreateVolumeInput) { in.VolumeType, in.MultiAttachEnabled = "gp3", aws.Bool(true) }), "InvalidParameterCombination"},
		"key in the open":   {create(func(in *ec2.CreateVolumeInput) { in.KmsKeyId = aws.String("alias/a") }), "InvalidParameterDependency"},
		"zone elsewhere":    {create(func(in *ec2.CreateVolumeInput) { in.AvailabilityZone = aws.String("us-east-1a") }), "InvalidZone.NotFound"},
		"unknown type":      {create(func(in *ec2.CreateVolumeInput) { in.VolumeType = "gp9" }), "InvalidParameterValue"},
		"unknown parameter": {create(func(in *ec2.CreateVolumeInput) { in.VolumeInitializationRate = aws.Int32(100) }), "UnknownParameter"},
		"absent snapshot":   {create(func(in *ec2.CreateVolumeInput) { in.SnapshotId = aws.String("snap-0") }), "InvalidSnapshot.NotFound"},
		"snapshot in use": {func() error {
			_, err := s.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &inUse})
			return err
		}(), "InvalidSnapshot.InUse"},
		"absent volume": {func() error {
			_, err := s.ec2.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{"vol-0"}})
			return err
		}(), "InvalidVolume.NotFound"},
		"few results": {func() error {
			_, err := s.ec2.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{MaxResults: aws.Int32(1)})
			return err
		}(), "InvalidParameterValue"},
		"dry run": {create(func(in *ec2.CreateVolumeInput) { in.DryRun = aws.Bool(true) }), "DryRunOperation"},
	} {
		if code(c.err) != c.want {
			t.Errorf("%s: %v, want %s", what, c.err, c.want)
		}
	}
	s.Deny("ec2:CreateTags")
	if err := snap("a", "b"); code(err) != "UnauthorizedOperation" || !strings.Contains(err.Error(), "perform: ec2:CreateTags on") {
		t.Errorf("without permission: %v", err)
	}
	s.Allow("ec2:CreateTags")
	if err := snap("a", "b"); err != nil {
		t.Errorf("with permission: %v", err)
	}
	if err := snap("a", "b"); code(err) != "SnapshotCreationPerVolumeRateExceeded" {
		t.Errorf("at once again: %v", err)
	}
	s.Advance(15 * time.Second)
	if err := snap("a", "b"); err != nil {
		t.Errorf("after a while: %v", err)
	}
}

// A volume whose key cannot be used is answered for, and goes away.
func TestKeyThatCannotBeUsed(t *testing.T) {
	s, ctx := newScene(t), t.Context()
	s.Deny("kms:CreateGrant")
	snapshot := s.AddSnapshot(awsfake.Snapshot{Size: 1, Encrypted: true})
	made, err := s.ec2.CreateVolume(ctx, &ec2.CreateVolumeInput{SnapshotId: &snapshot, AvailabilityZone: aws.String(region + "a")})
	if err != nil {
		t.Fatal(err)
	}
	describe := func() error {
		_, err := s.ec2.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{*made.VolumeId}})
		return err
	}
	if err := describe(); err != nil {
		t.Errorf("first look: %v", err)
	}
	if err := describe(); code(err) != "InvalidVolume.NotFound" {
		t.Errorf("second look: %v", err)
	}
}

// Only what is signed rightly is served.
func TestSignatures(t *testing.T) {
	s := newScene(t)
	describe := func(c *ec2.Client) string {
		_, err := c.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{})
		return code(err)
	}
	wrong, stranger, session := s.keys, s.keys, s.keys
	wrong.SecretAccessKey += "x"
	stranger.AccessKeyID = "AKIANOBODY"
	session.SessionToken = "x"
	for what, c := range map[string]struct {
		client *ec2.Client
		want   string
	}{
		"right":        {s.ec2, "<nil>"},
		"wrong secret": {s.client(static(wrong)), "AuthFailure"},
		"unknown key":  {s.client(static(stranger)), "AuthFailure"},
		"no session":   {s.client(static(session)), "AuthFailure"},
		"not signed":   {s.client(aws.AnonymousCredentials{}), "MissingAuthenticationToken"},
		"wrong region": {s.client(static(s.keys), func(o *ec2.Options) { o.Region = "us-east-1" }), "SignatureDoesNotMatch"},
	} {
		if got := describe(c.client); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	// A change on the way is noticed.
	for what, change := range map[string]func(*http.Request){
		"date": func(r *http.Request) {
			r.Header.Set("X-Amz-Date", time.Now().Add(time.Second).UTC().Format("20060102T150405Z"))
		},
		"query": func(r *http.Request) { r.URL.RawQuery = "a=b" },
		"header": func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		},
	} {
		client := s.client(static(s.keys), func(o *ec2.Options) { o.HTTPClient = changing{change} })
		if got := describe(client); got != "AuthFailure" {
			t.Errorf("%s changed: %s", what, got)
		}
	}
}

// changing changes requests after they were signed.
type changing struct{ change func(*http.Request) }

func (c changing) Do(r *http.Request) (*http.Response, error) {
	c.change(r)
	return http.DefaultClient.Do(r)
}

// Requests in another form than EC2's do not get far.
func TestVersion(t *testing.T) {
	s := newScene(t)
	for what, c := range map[string]struct{ from, to, want string }{
		"version": {"2016-11-15", "2014-02-01", "NoSuchVersion"},
		"action":  {"DescribeVolumes", "DescribeVolume", "InvalidAction"},
	} {
		resign := func(r *http.Request) {
			t.Helper()
			rewrite(t, r, c.from, c.to, s.keys)
		}
		client := s.client(static(s.keys), func(o *ec2.Options) { o.HTTPClient = changing{resign} })
		_, err := client.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{})
		if code(err) != c.want {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
}

// Faults befall as many calls as they should.
func TestFaults(t *testing.T) {
	s, ctx := newScene(t), t.Context()
	volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
	snap := func() error {
		_, err := s.ec2.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: &volume})
		return err
	}
	s.Inject(1, awsfake.Actions("CreateSnapshot"), awsfake.Throttle())
	s.Inject(1, awsfake.Actions("CreateSnapshot"), inject.Drop())
	s.Inject(1, awsfake.Actions("CreateSnapshot"), inject.LoseAnswer())
	if err := snap(); code(err) != "RequestLimitExceeded" {
		t.Errorf("throttled: %v", err)
	}
	if err := snap(); err == nil || s.Snapshots() != 0 {
		t.Errorf("dropped: %v, %d snapshots", err, s.Snapshots())
	}
	if err := snap(); err == nil || s.Snapshots() != 1 {
		t.Errorf("committed: %v, %d snapshots", err, s.Snapshots())
	}
	if n := len(s.Calls("CreateSnapshot")); n != 3 {
		t.Errorf("%d calls", n)
	}
}

func TestPages(t *testing.T) {
	s := newScene(t)
	for range 12 {
		s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
	}
	pages, seen := ec2.NewDescribeVolumesPaginator(s.ec2, &ec2.DescribeVolumesInput{MaxResults: aws.Int32(5)}), map[string]bool{}
	for pages.HasMorePages() {
		p, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range p.Volumes {
			seen[*v.VolumeId] = true
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d volumes", len(seen))
	}
}

// whoami asks EC2 and STS with credentials and returns the ARN.
func (s *scene) whoami(provider aws.CredentialsProvider) (string, error) {
	cfg := aws.Config{Region: region, Credentials: provider, RetryMaxAttempts: 1}
	if _, err := s.client(provider).DescribeVolumes(s.t.Context(), &ec2.DescribeVolumesInput{}); err != nil {
		return "", err
	}
	url := fakecloud.Serve(s.t, s.STS())
	out, err := sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint = &url }).GetCallerIdentity(s.t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	if *out.Account != awsfake.Account {
		s.t.Errorf("account %s", *out.Account)
	}
	return *out.Arn, nil
}

func TestRoles(t *testing.T) {
	s := newScene(t)
	url := fakecloud.Serve(t, s.STS())
	client := func(provider aws.CredentialsProvider) *sts.Client {
		return sts.NewFromConfig(aws.Config{Region: region, Credentials: provider, RetryMaxAttempts: 1}, func(o *sts.Options) { o.BaseEndpoint = &url })
	}
	s.Trust("the token", "system:serviceaccount:velero:velero")
	s.Trust("another's token", "system:serviceaccount:x:x")
	s.Trust("old token", "")
	s.Expire("old token")
	web := s.AddRole(awsfake.Role{Name: "oadp", Subject: "system:serviceaccount:velero:velero"})
	chained := s.AddRole(awsfake.Role{Name: "chained", Principals: []string{s.keys.ARN}, ExternalID: "x1"})

	byToken := func(role, token string) aws.CredentialsProvider {
		return stscreds.NewWebIdentityRoleProvider(client(nil), role, stscreds.IdentityTokenFile(testfile.Write(t, token)), func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = "velero" })
	}
	byKeys := func(k awsfake.Keys, role, external string, more ...func(*stscreds.AssumeRoleOptions)) aws.CredentialsProvider {
		options := append(more, func(o *stscreds.AssumeRoleOptions) { o.ExternalID, o.RoleSessionName = &external, "velero" })
		return stscreds.NewAssumeRoleProvider(client(static(k)), role, options...)
	}
	wrong := s.keys
	wrong.SecretAccessKey = "x"
	for what, c := range map[string]struct {
		provider aws.CredentialsProvider
		want     string
	}{
		"web identity":      {byToken(web, "the token"), "arn:aws:sts::123456789012:assumed-role/oadp/velero"},
		"wrong trust":       {byToken(web, "another's token"), "AccessDenied"},
		"absent role":       {byToken(web+"x", "the token"), "AccessDenied"},
		"expired token":     {byToken(web, "old token"), "ExpiredTokenException"},
		"unknown token":     {byToken(web, "forged"), "InvalidIdentityToken"},
		"assumed role":      {byKeys(s.keys, chained, "x1"), "arn:aws:sts::123456789012:assumed-role/chained/velero"},
		"wrong external id": {byKeys(s.keys, chained, "x2"), "AccessDenied"},
		"not a principal":   {byKeys(s.AddUser("other"), chained, "x1"), "AccessDenied"},
		"wrong secret":      {byKeys(wrong, chained, "x1"), "SignatureDoesNotMatch"},
		"too long":          {byKeys(s.keys, chained, "x1", func(o *stscreds.AssumeRoleOptions) { o.Duration = 2 * time.Hour }), "ValidationError"},
	} {
		got, err := s.whoami(c.provider)
		if err != nil {
			got = code(err)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s; %v", what, got, c.want, err)
		}
	}
}

// A session ends, and is renewed with what the token file holds then.
func TestSessionsEnd(t *testing.T) {
	s := newScene(t)
	url := fakecloud.Serve(t, s.STS())
	s.Trust("first", "velero")
	role := s.AddRole(awsfake.Role{Name: "oadp", Subject: "velero", Duration: 15 * time.Minute})
	token := testfile.Write(t, "first")
	client := sts.NewFromConfig(aws.Config{Region: region}, func(o *sts.Options) { o.BaseEndpoint = &url })
	provider := stscreds.NewWebIdentityRoleProvider(client, role, stscreds.IdentityTokenFile(token))
	session, err := provider.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	describe := func(c aws.Credentials) string {
		_, err := s.client(credentials.StaticCredentialsProvider{Value: c}).DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{})
		return code(err)
	}
	if got := describe(session); got != "<nil>" {
		t.Errorf("new session: %s", got)
	}
	s.Advance(16 * time.Minute)
	if got := describe(session); got != "RequestExpired" {
		t.Errorf("old session: %s", got)
	}
	s.Expire("first")
	s.Trust("second", "velero")
	if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	if session, err = provider.Retrieve(t.Context()); err != nil || describe(session) != "<nil>" {
		t.Errorf("renewed session: %v", err)
	}
}

func TestMachine(t *testing.T) {
	s := newScene(t)
	url := fakecloud.Serve(t, s.Machine(awsfake.Role{Name: "node"}))
	client := imds.New(imds.Options{Endpoint: url})
	arn, err := s.whoami(ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = client }))
	if err != nil || arn != "arn:aws:sts::123456789012:assumed-role/node/i-0123456789abcdef0" {
		t.Errorf("%s, %v", arn, err)
	}
	if out, err := client.GetRegion(t.Context(), &imds.GetRegionInput{}); err != nil || out.Region != region {
		t.Errorf("region: %v, %v", out, err)
	}
	for what, header := range map[string]string{"no token": "", "wrong token": "x"} {
		if status := get(t, url+"/latest/meta-data/iam/security-credentials/", "X-Aws-Ec2-Metadata-Token", header); status != http.StatusUnauthorized {
			t.Errorf("%s: status %d", what, status)
		}
	}
}

func TestPodIdentity(t *testing.T) {
	s := newScene(t)
	token := "pod token"
	url := fakecloud.Serve(t, s.PodIdentity(awsfake.Role{Name: "pod"}, func() string { return token })) + "/v1/credentials"
	path := testfile.Write(t, token)
	provider := endpointcreds.New(url, func(o *endpointcreds.Options) {
		o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
			b, err := os.ReadFile(path)
			return string(b), err
		})
	})
	if arn, err := s.whoami(provider); err != nil || arn != "arn:aws:sts::123456789012:assumed-role/pod/eks-pod" {
		t.Errorf("%s, %v", arn, err)
	}
	token = "rotated token"
	if _, err := provider.Retrieve(t.Context()); err == nil {
		t.Error("an old token is taken")
	}
	if status := get(t, url, "Authorization", ""); status != http.StatusUnauthorized {
		t.Errorf("no token: status %d", status)
	}
}

func get(t *testing.T, url, header, value string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if value != "" {
		request.Header.Set(header, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// What the SDK finds by itself in the environment of a pod.
func TestEnvironment(t *testing.T) {
	s := newScene(t)
	s.Trust("irsa token", "velero")
	t.Setenv("HOME", t.TempDir())
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE", "AWS_CA_BUNDLE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_ENDPOINT_URL_STS", fakecloud.Serve(t, s.STS()))
	t.Setenv("AWS_ROLE_ARN", s.AddRole(awsfake.Role{Name: "irsa", Subject: "velero"}))
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", testfile.Write(t, "irsa token"))
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region))
	if err != nil {
		t.Fatal(err)
	}
	if arn, err := s.whoami(cfg.Credentials); err != nil || !strings.Contains(arn, "assumed-role/irsa/") {
		t.Errorf("%s, %v", arn, err)
	}
}
