# Faster R-CNN on the boxes that SAT found in Shapes, on SAT's own backbone. Minutes on two CPU cores.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', './_base_/shapes.py', './_base_/schedule_shapes.py']
num_classes = 10
model = dict(
    data_preprocessor=dict(pad_size_divisor=8),
    backbone=dict(
        _delete_=True,
        type='mmwsol.FeatureMaps',
        backbone=dict(
            type='mmwsol.SATViT',
            arch=dict(embed_dims=128, num_layers=3, num_heads=4, feedforward_channels=512),
            img_size=64,
            patch_size=8,
            stem=dict(type='mmwsol.ConvStem', channels=(24, 48, 96)),
            num_sqa_blocks=3,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='work_dirs/sat_small-vit_shapes/sat/epoch_3.pth',
                prefix='backbone.'))),
    neck=dict(
        _delete_=True, type='mmwsol.SimpleFeaturePyramid', in_channels=128, out_channels=64, scales=(2, 1)),
    # Two levels, few proposals, narrow layers: an image has 64 x 64 pixels and one object of 24 to 46.
    rpn_head=dict(
        in_channels=64, feat_channels=64, anchor_generator=dict(scales=[4, 6], strides=[4, 8])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, featmap_strides=[4, 8], finest_scale=16),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=num_classes)),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=100, max_per_img=50),
        rcnn=dict(sampler=dict(num=32))),
    test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=50), rcnn=dict(max_per_img=10)))
# The new layers learn faster than the backbone, which knows the pictures.
optim_wrapper = dict(
    optimizer=dict(lr=2e-3), paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.25)}))
