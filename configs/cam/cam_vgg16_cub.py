# CAM (Zhou et al., CVPR 2016), VGG16 on CUB-200-2011, trained as in wsolevaluation (Choe et al., CVPR 2020).
# Published hyper-parameters as quoted by later repositories; the authors' own table was not at hand.
_base_ = [
    './_base_/vgg16.py',
    './_base_/schedule_cub.py',
    '../_base_/datasets/cub.py',
    '../_base_/pipelines/squash_224.py',
]
model = dict(head=dict(num_classes=200))
optim_wrapper = dict(
    optimizer=dict(lr=1.268269e-5, weight_decay=5e-4),
    # Ten times faster: what is not 'features.' in the official code.
    paramwise_cfg=dict(custom_keys={'backbone.conv6.': dict(lr_mult=10.), 'head.fc.': dict(lr_mult=10.)}))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
