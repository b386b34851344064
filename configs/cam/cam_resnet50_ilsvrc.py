# CAM (Zhou et al., CVPR 2016), ResNet-50 on ILSVRC2012, trained as in wsolevaluation (Choe et al., CVPR 2020).
# Published hyper-parameters as quoted by later repositories; the authors' own table was not at hand.
_base_ = [
    './_base_/resnet50.py',
    './_base_/schedule_ilsvrc.py',
    '../_base_/datasets/ilsvrc.py',
    '../_base_/pipelines/squash_224.py',
]
model = dict(head=dict(num_classes=1000))
optim_wrapper = dict(
    optimizer=dict(lr=3.108411e-5, weight_decay=1e-4),
    # Ten times faster: the last stage too, as in the official code.
    paramwise_cfg=dict(custom_keys={'backbone.layer4.': dict(lr_mult=10.), 'head.fc.': dict(lr_mult=10.)}))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
