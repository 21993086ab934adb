package s3

import (
	"errors"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
)

// actions returns the IAM actions that an operation needs.
func (l *location) actions(operation string) []string {
	switch operation {
	case "ListObjectsV2", "ListObjects", "HeadBucket":
		return []string{"s3:ListBucket"}
	case "GetObject":
		return []string{"s3:GetObject"}
	case "HeadObject":
		return []string{"s3:GetObject", "s3:ListBucket"}
	case "DeleteObject", "AbortMultipartUpload":
		return []string{"s3:" + operation}
	case "PutObject", "CreateMultipartUpload":
		actions := []string{"s3:PutObject"}
		if l.tagging != nil {
			actions = append(actions, "s3:PutObjectTagging")
		}
		if l.acl != "" {
			actions = append(actions, "s3:PutObjectAcl")
		}
		return actions
	}
	return []string{"s3:PutObject"} // the rest of a multipart upload
}

// allow is the fix for a request that was denied.
func (l *location) allow(err error) string {
	switch action := deniedAction(err); {
	case strings.HasPrefix(action, "kms:"):
		return "allow kms:GenerateDataKey and kms:Decrypt on the key" + policies
	case action != "":
		return "allow " + action + policies
	}
	var operation *smithy.OperationError
	if !errors.As(err, &operation) {
		return ""
	}
	fix := "allow " + strings.Join(l.actions(operation.Operation()), " and ") + policies
	if operation.Operation() == "HeadObject" {
		fix += "; without s3:ListBucket S3 answers 403 for objects that do not exist"
	}
	return fix
}

const policies = " in the policies of the user or role, and look for a policy of the bucket or the key that denies it"

// deniedAction returns the action that AWS names in its refusal, or "".
func deniedAction(err error) string {
	action, _ := awsaccess.Denied(err)
	return action
}

// isDenied reports whether the server knows the credentials and refuses what they
// are used for. Other answers with status 403, a quota for example, are no matter
// of permissions.
func isDenied(err error) bool {
	if err == nil {
		return false
	}
	api := awsaccess.Answer(err)
	return api != nil && pageOf(err) == nil &&
		(apiCodes[api.ErrorCode()].ID == CodeAccessDenied.ID && !strings.Contains(strings.ToLower(api.ErrorMessage()), "cap exceeded") ||
			deniedAction(err) != "")
}
